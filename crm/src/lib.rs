//! The records of sales: rows, rules and their SQL. No provider, no HTTP.
//!
//! Every function takes the customer first; every table belongs to one module. Whoever calls begins and
//! commits, but for the two that say that they work in chunks.

pub mod account;
pub mod activity;
pub mod address;
pub mod api_key;
pub mod audit;
pub mod bulk_change;
pub mod change;
pub mod consumer;
pub mod contact;
pub mod custom_field;
pub mod customer;
pub mod engagement;
pub mod enrollment;
pub mod erasure;
pub mod event;
pub mod filter;
pub mod idempotency;
pub mod import;
pub mod inbound;
pub mod mailbox;
pub mod merge;
pub mod message;
pub mod operator;
pub mod opportunity;
pub mod orderer;
pub mod own_run;
pub mod password_link;
pub mod pipeline;
pub mod public_address;
pub mod reach;
pub mod respelling;
pub mod saved_list;
mod search;
pub mod sequence;
pub mod simulation;
pub mod suppression;
pub mod task;
pub mod team;
pub mod token;
pub mod unsubscription;
pub mod user;
pub mod vault;
pub mod web_session;
pub mod webhook;
pub mod writers;
