//! The subcommands, one file each.

pub(crate) mod bulk;
pub(crate) mod consumer;
pub(crate) mod db;
pub(crate) mod demo;
pub(crate) mod dev;
pub(crate) mod doctor;
pub(crate) mod enroll;
pub(crate) mod import;
pub(crate) mod jobs;
pub(crate) mod kafka;
pub(crate) mod migrate;
pub(crate) mod openapi;
pub(crate) mod operations;
pub(crate) mod outbox;
mod plan_text;
pub(crate) mod publisher;
pub(crate) mod runs;
pub(crate) mod scenarios;
pub(crate) mod schedules;
pub(crate) mod seed;
pub(crate) mod serve;
pub(crate) mod simulate;
pub(crate) mod users;
mod versions;
pub(crate) mod worker;
pub(crate) mod workflows;
