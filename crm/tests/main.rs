//! Tests of the records of sales on a real Postgres, in one binary.
