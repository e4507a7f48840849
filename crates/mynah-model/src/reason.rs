//! Why the broker refused something or ended something.

use core::fmt;

/// A refusal or an ending in the broker's own words. Each stack has one map from it to its protocol's codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The peer is gone, or said good-bye.
    Disconnected,
    /// The peer broke its protocol; what exactly was broken is known to its stack, which has told the peer.
    ProtocolViolation,
    /// The name or the password is wrong, or none was given where one is demanded.
    BadCredentials,
    /// The broker does not know the method of authentication that was asked for.
    BadAuthenticationMethod,
    /// The identity may not do this.
    NotAuthorized,
    /// What proved who the peer is was good until now only, and it has shown nothing newer.
    ProofExpired,
    /// The client identifier is not acceptable, or belongs to another identity.
    ClientIdRefused,
    /// The topic is not one that this peer can publish to.
    TopicInvalid,
    /// The filter is not one that the broker can serve.
    FilterInvalid,
    /// A configured limit is reached.
    QuotaExceeded,
    /// The peer does this more often than it may.
    RateExceeded,
    /// There is no queue or exchange of this name.
    NotFound,
    /// Somebody else has the queue for itself.
    Locked,
    /// What was asked for does not fit what is there, such as a queue that was declared otherwise, is in use or not
    /// empty.
    PreconditionFailed,
    /// The queue is full, and refuses what comes.
    QueueFull,
    /// The selector is not one that can be read.
    SelectorInvalid,
    /// There is no room on the disk for what would have to be stored.
    StorageFull,
    /// The retained value is not what the peer made its request depend on.
    ConditionFailed,
    /// The message is larger than the broker takes.
    TooLarge,
    /// The broker has no room for another connection at this moment.
    ServerBusy,
    /// Another connection took the session over.
    TakenOver,
    /// Nothing came from the peer for longer than it promised.
    KeepAliveTimeout,
    /// The peer did not finish its opening in time.
    OpeningTimeout,
    /// The peer does not read what it asked for.
    SlowConsumer,
    /// An administrator has closed the connection.
    Administrative,
    /// The broker is stopping.
    ShuttingDown,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disconnected => "disconnected",
            Self::ProtocolViolation => "protocol violation",
            Self::BadCredentials => "bad user name or password",
            Self::BadAuthenticationMethod => "unknown method of authentication",
            Self::NotAuthorized => "not authorized",
            Self::ProofExpired => "proof of identity expired",
            Self::ClientIdRefused => "client identifier refused",
            Self::TopicInvalid => "topic not usable here",
            Self::FilterInvalid => "filter not usable here",
            Self::QuotaExceeded => "quota exceeded",
            Self::RateExceeded => "rate exceeded",
            Self::NotFound => "no such queue or exchange",
            Self::Locked => "locked by another connection",
            Self::PreconditionFailed => "does not fit what is there",
            Self::QueueFull => "queue full",
            Self::SelectorInvalid => "selector not readable",
            Self::StorageFull => "no room to store it",
            Self::ConditionFailed => "condition not met",
            Self::TooLarge => "message too large",
            Self::ServerBusy => "server busy",
            Self::TakenOver => "session taken over",
            Self::KeepAliveTimeout => "keep-alive timeout",
            Self::OpeningTimeout => "opening timeout",
            Self::SlowConsumer => "slow consumer",
            Self::Administrative => "closed by an administrator",
            Self::ShuttingDown => "server shutting down",
        })
    }
}
