//! What the broker has under lease when a consumer has ended.

use mayhem_core::MessageId;

use super::Broken;
use super::checks::Checks;

impl Checks {
    /// After a stop in order the broker has no lease of this consumer, except where an extension
    /// has come in time for the broker, and its answer too late for the consumer.
    pub(super) fn check_held(&self) -> Result<(), Broken> {
        let leases = self.leases.iter();
        for (token, _) in leases.filter(|(_, it)| it.life == self.life && !it.has_ended) {
            let id = token.as_str().rsplit_once('/').map(|(id, _)| id.into());
            let message = id.and_then(|id: MessageId| self.messages.get(&id));
            let known = message.and_then(|it| it.generation(token));
            let known = known.map(|it| &it.known);
            let is_lost =
                known.is_some_and(|it| it.is_unsure || (it.is_lost && it.token == *token));
            if !is_lost {
                let detail = format!("{} under lease, {}", self.leased, token.as_str());
                return Err(Broken("nothing held", detail));
            }
        }
        Ok(())
    }
}
