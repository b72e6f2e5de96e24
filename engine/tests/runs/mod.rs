//! Stories of runs: a real database, a real worker, a clock that the test moves.

mod control;
mod faults;
mod intents;
mod signals;
mod steps;
mod walk;
mod world;
