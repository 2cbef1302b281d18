"""One verb a file: each stage is a process that reads files and writes files (`python -m nnrules.stages.<verb>`)."""
