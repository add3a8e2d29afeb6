"""Tests of what stands under monitoring/."""
