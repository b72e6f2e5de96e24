//! One file per part of the product.

mod accounts;
mod ahead;
mod api;
mod bad_input;
mod bulk;
mod bulk_runs;
mod changing;
mod crash;
mod demo;
mod doctor;
mod enrolling;
mod erasing;
mod events;
mod held;
mod hooks;
mod importing;
mod life;
mod metrics;
mod pausing;
mod piping;
mod records;
mod schedules;
mod services;
mod system_mail;
mod unsubscribing;
mod versions;
