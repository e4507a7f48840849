//! STOMP's stacks: one for each profile of destinations, all with one configuration.

use std::sync::Arc;

use mynah_model::WallTime;
use mynah_stack::Protocol;
use mynah_stomp::mapping::Profile;
use mynah_stomp::{Config, Stomp};

use crate::config::Listener;

/// STOMP with destinations as each profile has them.
pub(crate) struct StompStacks {
    usual: Profile,
    all: [(Profile, Arc<dyn Protocol>); 3],
}

impl StompStacks {
    pub(crate) fn new(config: &Config, epoch: WallTime) -> Self {
        let all = [Profile::RabbitMq, Profile::ActiveMq, Profile::Plain];
        Self {
            usual: config.settings().profile,
            all: all.map(|profile| (profile, Arc::new(Stomp::new(config.with_profile(profile), epoch)) as _)),
        }
    }

    /// What is spoken at a listener.
    pub(crate) fn of(&self, listener: &Listener) -> &Arc<dyn Protocol> {
        let profile = listener.destinations.unwrap_or(self.usual);
        let [(_, first), ..] = &self.all;
        self.all.iter().find(|(own, _)| *own == profile).map_or(first, |(_, stack)| stack)
    }
}
