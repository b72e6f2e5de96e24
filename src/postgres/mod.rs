//! The Postgres of `salesos dev`: found on this machine, run in the data folder, never as root.

mod cluster;
mod locate;
mod place;

pub(crate) use cluster::{Cluster, secret, write_secret};
pub(crate) use locate::{OLDEST, Programs, newest};
pub(crate) use place::unusable;
