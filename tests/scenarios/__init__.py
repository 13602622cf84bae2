"""The whole bot, played: every scenario is a rehearsal script of this folder."""
