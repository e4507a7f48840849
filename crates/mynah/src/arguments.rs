//! The command line.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, value_parser};
use mynah_core::rules::{Action, Certificate};
use mynah_model::Class;
use mynah_mqtt::Version;

use crate::client::Url;
use crate::config;

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
    /// Ask what the rules decide
    Rules {
        #[command(subcommand)]
        command: Rules,
    },
    /// Keep a users file
    User {
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Take over what another broker was told
    Import {
        #[command(subcommand)]
        command: Import,
    },
    /// Look at, check, mend, write out or read in a store that no broker has open
    Store {
        #[command(subcommand)]
        command: Store,
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
    /// Version of MQTT
    #[arg(short = 'V', long = "mqtt-version", value_name = "3.1|3.1.1|5", default_value = "3.1.1", value_parser = version)]
    pub(crate) version: Version,
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
    #[command(flatten)]
    pub(crate) properties: Properties,
}

/// What is said of a message beside; only in MQTT 5.
#[derive(Debug, Args)]
pub(crate) struct Properties {
    /// Say that the payload is text
    #[arg(long)]
    pub(crate) text: bool,
    /// What the payload is, such as application/json
    #[arg(long, value_name = "TYPE")]
    pub(crate) content_type: Option<String>,
    /// Where a reply is wanted
    #[arg(long, value_name = "TOPIC")]
    pub(crate) response_topic: Option<String>,
    /// What ties a reply to this message
    #[arg(long, value_name = "TEXT")]
    pub(crate) correlation: Option<String>,
    /// Seconds for which the message is wanted
    #[arg(long, value_name = "SECONDS")]
    pub(crate) expiry: Option<u32>,
    /// A property of the application's own; may be given many times
    #[arg(long = "user-property", value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) user_properties: Vec<(String, String)>,
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
    /// Print what MQTT 5 says of each message before its payload
    #[arg(long)]
    pub(crate) properties: bool,
    /// End after this many messages
    #[arg(short = 'n', long, value_name = "MESSAGES", value_parser = value_parser!(u64).range(1..))]
    pub(crate) count: Option<u64>,
    /// End after this many seconds; a failure if --count has not been reached
    #[arg(long, value_name = "SECONDS")]
    pub(crate) timeout: Option<u32>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Rules {
    /// Say whether somebody may do something, and which rules decide that
    Test(RulesTest),
}

/// Who would do what to what.
#[derive(Debug, Args)]
pub(crate) struct RulesTest {
    /// Configuration file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: PathBuf,
    /// User name; without one, somebody anonymous
    #[arg(long = "as", value_name = "USER")]
    pub(crate) user: Option<String>,
    /// Tenant of the user, or of the listener
    #[arg(long, value_name = "TENANT", default_value = "default")]
    pub(crate) tenant: String,
    /// Group of the user, besides those of the users file; may be given many times
    #[arg(long = "group", value_name = "GROUP")]
    pub(crate) groups: Vec<String>,
    /// Certificate: its common name, or sha256: and its fingerprint
    #[arg(long, value_parser = config::certificate)]
    pub(crate) certificate: Option<Certificate>,
    /// Client identifier
    #[arg(long, value_name = "ID", default_value = "")]
    pub(crate) client_id: String,
    /// Address of the client
    #[arg(long, value_name = "IP")]
    pub(crate) address: Option<IpAddr>,
    /// What the client speaks
    #[arg(long, default_value = "mqtt")]
    pub(crate) protocol: String,
    /// connect, publish, subscribe, retain, consume, request, configure or administer
    #[arg(value_parser = config::action)]
    pub(crate) action: Action,
    /// Topic, filter or queue
    pub(crate) target: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UserCommand {
    /// Add a user; the password is asked for, or read from standard input
    Add(NewUser),
    /// Change a user's password; it is kept in the same forms as the one before, unless others are asked for
    Passwd {
        #[command(flatten)]
        account: Account,
        #[command(flatten)]
        forms: Forms,
    },
    /// Remove a user
    Remove {
        #[command(flatten)]
        account: Account,
    },
    /// Keep a user out without forgetting it
    Lock {
        #[command(flatten)]
        account: Account,
    },
    /// Let a user in again that was locked
    Unlock {
        #[command(flatten)]
        account: Account,
    },
    /// List the users, and how each proves who it is
    List {
        /// Users file
        file: PathBuf,
    },
}

/// What could not be translated is printed, with file and line.
#[derive(Debug, Subcommand)]
pub(crate) enum Import {
    /// Make a configuration, rules and users of a mosquitto.conf and the files that it names
    Mosquitto {
        /// The mosquitto.conf
        file: PathBuf,
        /// Folder for what is made
        #[arg(short, long, value_name = "FOLDER")]
        output: PathBuf,
    },
    /// Add the users of a definitions file of RabbitMQ to a users file
    RabbitmqUsers {
        /// The definitions, as JSON
        file: PathBuf,
        /// Users file; made if it is not there
        #[arg(short, long, value_name = "USERS")]
        output: PathBuf,
    },
    /// Have a running broker make the queues, exchanges and bindings of a definitions file of RabbitMQ
    RabbitmqDefinitions {
        /// The definitions, as JSON
        file: PathBuf,
        /// Where the broker's management listens, without TLS
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
        to: SocketAddr,
        /// User name, if the listener asks for one
        #[arg(short = 'u', long, value_name = "NAME", requires = "password")]
        user: Option<String>,
        /// Password
        #[arg(short = 'P', long, requires = "user")]
        password: Option<String>,
    },
}

/// Which store.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct StoreFolder {
    /// Folder of the store; without one it is the folder that `mynah serve` would use
    pub(crate) folder: Option<PathBuf>,
    /// Configuration file that names the folder
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

/// What ends with 3 has found damage; with 1 it could not be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Say what a store holds
    Stat {
        #[command(flatten)]
        folder: StoreFolder,
    },
    /// Read every byte and change nothing; ends with 3 if something is damaged
    Verify {
        #[command(flatten)]
        folder: StoreFolder,
    },
    /// Make the state anew from the journal and put damaged bytes aside; ends with 3 if something is lost
    Repair {
        #[command(flatten)]
        folder: StoreFolder,
    },
    /// Write everything that is live, one JSON object a line
    Export {
        #[command(flatten)]
        folder: StoreFolder,
        /// File to be made; without one it is written to standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Make a store of what was exported
    Import {
        #[command(flatten)]
        folder: StoreFolder,
        /// File to be read; without one standard input is
        #[arg(short, long, value_name = "FILE")]
        input: Option<PathBuf>,
    },
}

/// A user of a users file.
#[derive(Debug, Args)]
pub(crate) struct Account {
    /// Users file; the first user makes it
    pub(crate) file: PathBuf,
    /// User name
    pub(crate) user: String,
    /// Tenant that the user belongs to
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct NewUser {
    #[command(flatten)]
    pub(crate) account: Account,
    #[command(flatten)]
    pub(crate) forms: Forms,
    /// Group that the user is in; may be given many times
    #[arg(short, long = "group", value_name = "NAME")]
    pub(crate) groups: Vec<String>,
    /// SHA-256 of the certificate that proves who the user is
    #[arg(long, value_name = "HEX")]
    pub(crate) certificate: Option<String>,
    /// Give the user a pre-shared key too; it is made at random and shown once
    #[arg(long)]
    pub(crate) psk: bool,
    /// Give the user no password
    #[arg(long, conflicts_with_all = ["scram", "scram_sha1", "argon2", "password_file"])]
    pub(crate) no_password: bool,
}

/// How a password is kept, and where it comes from.
#[derive(Debug, Args)]
pub(crate) struct Forms {
    /// Keep verifiers of SCRAM-SHA-256, for clients that do not send the password
    #[arg(long)]
    pub(crate) scram: bool,
    /// Keep verifiers of SCRAM-SHA-1, for clients that know no better
    #[arg(long = "scram-sha1")]
    pub(crate) scram_sha1: bool,
    /// Keep argon2id beside verifiers; without verifiers it is kept anyway
    #[arg(long)]
    pub(crate) argon2: bool,
    /// Iterations of verifiers, at least 100000
    #[arg(long, value_name = "COUNT", default_value_t = mynah_auth::ITERATIONS)]
    pub(crate) iterations: NonZeroU32,
    /// File whose first line is the password
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
}

fn version(text: &str) -> Result<Version, String> {
    match text {
        "3.1" => Ok(Version::V3_1),
        "3.1.1" => Ok(Version::V3_1_1),
        "5" | "5.0" => Ok(Version::V5),
        _ => Err("write 3.1, 3.1.1 or 5".to_owned()),
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

fn class(text: &str) -> Result<Class, String> {
    text.parse().ok().and_then(Class::from_number).ok_or_else(|| "write 0, 1 or 2".to_owned())
}
