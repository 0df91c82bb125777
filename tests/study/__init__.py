"""Tests of studies: search, resume, kill, confirm."""
