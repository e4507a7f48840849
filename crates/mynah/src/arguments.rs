//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, value_parser};
use mynah_model::Class;

use crate::client::Url;

/// A message broker for the Internet of Things.
#[derive(Debug, Parser)]
#[command(name = "mynah", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the broker
    Serve {
        /// Configuration file; without one the broker serves this machine only
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Check a configuration and say what it would listen on
    Check {
        /// Configuration file
        #[arg(short, long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Publish a message by MQTT
    Pub(Publish),
    /// Print the messages of some topics, by MQTT
    Sub(Subscribe),
    /// Keep a password file
    Passwd {
        #[command(subcommand)]
        command: Passwd,
    },
}

/// Which server, and as whom.
#[derive(Debug, Args)]
pub(crate) struct Peer {
    /// Server, as mqtt://[user[:password]@]host[:port]
    pub(crate) url: Url,
    /// User name; stands before the one in the URL
    #[arg(short = 'u', long, value_name = "NAME")]
    pub(crate) user: Option<String>,
    /// Password; stands before the one in the URL
    #[arg(short = 'P', long)]
    pub(crate) password: Option<String>,
    /// Client identifier; without one the server chooses
    #[arg(long, default_value = "")]
    pub(crate) id: String,
}

#[derive(Debug, Args)]
pub(crate) struct Publish {
    #[command(flatten)]
    pub(crate) peer: Peer,
    /// Topic
    #[arg(short, long)]
    pub(crate) topic: String,
    #[command(flatten)]
    pub(crate) payload: Payload,
    /// Guarantee: 0 at most once, 1 at least once, 2 exactly once
    #[arg(short, long, value_name = "0|1|2", default_value = "0", value_parser = class)]
    pub(crate) qos: Class,
    /// Make the message the topic's retained value
    #[arg(short, long)]
    pub(crate) retain: bool,
}

/// Where the payload comes from; without any of these it is empty.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct Payload {
    /// Payload
    #[arg(short, long, allow_hyphen_values = true)]
    pub(crate) message: Option<String>,
    /// File whose bytes are the payload
    #[arg(short, long)]
    pub(crate) file: Option<PathBuf>,
    /// Take the payload from standard input
    #[arg(long)]
    pub(crate) stdin: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Subscribe {
    #[command(flatten)]
    pub(crate) peer: Peer,
    /// Filter; may be given many times
    #[arg(short, long = "topic", value_name = "FILTER", required = true)]
    pub(crate) topics: Vec<String>,
    /// Highest guarantee that is wanted
    #[arg(short, long, value_name = "0|1|2", default_value = "0", value_parser = class)]
    pub(crate) qos: Class,
    /// Print the topic before each payload
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// End after this many messages
    #[arg(short = 'n', long, value_name = "MESSAGES", value_parser = value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End after this many seconds; a failure if --count has not been reached
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Passwd {
    /// Add a user, or change a user's password; it is asked for, or read from standard input
    Add {
        /// Password file; made if absent
        file: PathBuf,
        /// User name
        user: String,
    },
    /// Remove a user
    Remove {
        /// Password file
        file: PathBuf,
        /// User name
        user: String,
    },
    /// List the users
    List {
        /// Password file
        file: PathBuf,
    },
}

fn class(text: &str) -> Result<Class, String> {
    text.parse().ok().and_then(Class::from_number).ok_or_else(|| "write 0, 1 or 2".to_owned())
}
