//! One target of the config: how it is restarted and how its health is asked.

use std::path::Path;
use std::sync::Arc;

use super::FleetError;
use super::child::Child;
use super::launch::Launch;
use super::probe::Probe;
use super::record::ChildFiles;
use super::remote::Remote;
use crate::config::{Config, Group, RestarterSpec};
use crate::target::Target;

/// One target.
pub(super) struct Host {
    pub(super) kind: Kind,
    pub(super) probe: Option<Probe>,
}

/// Who restarts it.
pub(super) enum Kind {
    Child(Arc<Child>),
    Remote(Arc<Remote>),
}

impl Host {
    pub(super) fn new(
        config: &Config,
        group: &Group,
        target: &Target,
        folder: &Path,
        boot_id: &Arc<str>,
    ) -> Result<Self, FleetError> {
        let port = config.port_of(target);
        let probe = group.probe.as_ref();
        let probe = probe.map(|spec| Probe::new(spec, target, port)).transpose();
        let kind = match &group.restarter {
            RestarterSpec::Process { argv, .. } => Kind::Child(Child::new(
                target.clone(),
                Launch::child(argv, port),
                ChildFiles::new(folder, target),
                Arc::clone(boot_id),
            )),
            RestarterSpec::Command { argv, timeout } => {
                let boot_id = group.boot_id.as_deref();
                Kind::Remote(Remote::new(target, argv, *timeout, boot_id))
            }
        };
        Ok(Self {
            kind,
            probe: probe.map_err(FleetError::Config)?,
        })
    }
}
