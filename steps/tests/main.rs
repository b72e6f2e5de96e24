//! Tests of the step types through their registry, in one binary.

mod support;
mod waiting;
mod workflows;
