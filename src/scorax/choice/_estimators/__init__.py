"""Estimators named by their algorithm: arrays of counts in, strengths out."""
