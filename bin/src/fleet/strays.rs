//! Children that live although the config has them no longer.
//!
//! A group was removed or made smaller while no daemon ran, after a crash or a hurried stop. Nobody
//! can ask for such a child any more, and it may hold a port. It is reported and not ended at once:
//! a mistyped config must not take a fleet down. A clean stop ends it like the others.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use mayhem_bridge::BlockingPool;

use super::child::Child;
use super::launch::Launch;
use super::record::ChildFiles;
use super::{ASK_MAX, FleetError, Liveness, observe, work};
use crate::config::Config;

/// Takes up those that live.
pub(super) async fn adopt(
    config: &Arc<Config>,
    pool: &BlockingPool,
    folder: &Path,
    boot_id: &Arc<str>,
) -> Result<Vec<Arc<Child>>, FleetError> {
    let (of, at) = (Arc::clone(config), folder.to_owned());
    let names = work(pool, "look for strays", move || {
        observe::stray_names(&at, &of).map_err(FleetError::files(&at))
    });
    let mut strays = Vec::new();
    for target in names.await?? {
        let files = ChildFiles::new(folder, &target);
        let nothing = Launch::child(&[], None);
        let child = Child::new(target.clone(), nothing, files, Arc::clone(boot_id));
        let turn = child.turn(Liveness::Starting, Instant::now() + ASK_MAX);
        let mut turn = turn.await.map_err(|_| FleetError::Closed)?;
        match work(pool, "adopt a stray", move || turn.adopt()).await? {
            Ok(None) => {}
            Ok(Some(running)) => {
                log::warn!(
                    host = target.as_str();
                    "{target} is not in the config any more and still runs as pid {}: it is left \
                     alone until a clean stop, and takes no requests", running.pid()
                );
                strays.push(child);
            }
            // Not of the config, so no reason not to serve it.
            Err(error) => log::warn!(
                host = target.as_str();
                "{target} is not in the config any more, and may still run: {error}"
            ),
        }
    }
    Ok(strays)
}
