//! The binary: command line, configuration, and the wiring of stacks, engine, sockets and runtime into one broker.

mod accounts;
mod administration;
mod arguments;
mod authentication;
mod bridges;
mod broker;
mod check;
mod client;
mod coap;
mod complaint;
mod config;
mod courier;
#[cfg(test)]
mod denials;
mod doorkeeper;
mod herald;
mod identity;
mod import;
mod logging;
mod management;
mod rules;
mod serve;
mod service;
mod stomp;
mod stop;
mod storage;
mod store;
mod user;
mod web;

use std::process::ExitCode;

use clap::Parser;

use crate::arguments::{Arguments, Command, Rules};

/// Threads hand messages to each other and to the store: with the system's allocator their arenas grow apart, and a queue of
/// ten million messages costs twice the memory (docs/adr/0016).
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Serve { config } => serve::run(config.as_deref()).map(done),
        Command::Check { config } => check::run(config.as_deref()).map(done),
        Command::Pub(arguments) => client::publish(&arguments).map(done),
        Command::Sub(arguments) => client::subscribe(&arguments).map(done),
        Command::Rules { command: Rules::Test(arguments) } => rules::test(&arguments).map(done),
        Command::User { command } => user::run(&command).map(done),
        Command::Import { command } => import::run(&command).map(done),
        Command::Store { command } => store::run(&command),
    };
    match result {
        Ok(code) => code,
        Err(complaint) => {
            eprintln!("mynah: {complaint}");
            ExitCode::FAILURE
        }
    }
}

const fn done((): ()) -> ExitCode {
    ExitCode::SUCCESS
}
