//! The binary: command line, configuration, and the wiring of stacks, engine, sockets and runtime into one broker.

mod arguments;
mod authentication;
mod bridges;
mod broker;
mod check;
mod client;
mod complaint;
mod config;
mod doorkeeper;
mod identity;
mod logging;
mod serve;
mod service;
mod stop;
mod user;
mod web;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command};

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Serve { config } => serve::run(config.as_deref()),
        Command::Check { config } => check::run(config.as_deref()),
        Command::Pub(arguments) => client::publish(&arguments),
        Command::Sub(arguments) => client::subscribe(&arguments),
        Command::User { command } => user::run(&command),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaint) => {
            eprintln!("mynah: {complaint}");
            ExitCode::FAILURE
        }
    }
}
