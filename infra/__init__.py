"""The cloud half as code: one app, two stacks, one construct a file (see docs/deploy.md)."""
