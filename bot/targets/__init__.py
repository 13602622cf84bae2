"""Operations targets, one driver a file; the files `sandbox_…` belong to the sandbox."""
