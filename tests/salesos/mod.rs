//! The binary as a user has it: a data folder, commands on it, its `dev`, and its API.

mod broker;
mod command;
mod dev;
mod faulty;
mod folder;
mod http;
mod mail_server;
mod patience;
mod real_mail_server;
mod receiver;
mod served;

pub(crate) use broker::{Broker, python};
pub(crate) use command::{Said, said};
pub(crate) use dev::{Dev, gone};
pub(crate) use faulty::{Fault, Faulty};
pub(crate) use folder::{Folder, command_line, repository, signal};
pub(crate) use http::Api;
pub(crate) use mail_server::{MailServer, Mood, token};
pub(crate) use patience::until;
pub(crate) use real_mail_server::RealMailServer;
pub(crate) use receiver::Receiver;
pub(crate) use served::Served;
