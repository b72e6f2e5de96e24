//! Tests of the engine through its public face, in one binary.

mod definitions;
