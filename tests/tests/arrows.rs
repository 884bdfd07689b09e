//! The arrows between our crates, and what may stand in their trees.
//!
//! The trees are cargo's, resolved for the whole workspace with all its features at once: what a
//! crate's tree holds when it is built alone is less, never more.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, PackageId};

/// Executors, reactors, and pools for blocking calls. `futures-executor` is no runtime: it has
/// neither timers nor threads of its own, and core does not ask for it.
const RUNTIMES: &[&str] = &[
    "actix-rt",
    "async-executor",
    "async-global-executor",
    "async-io",
    "async-std",
    "blocking",
    "compio",
    "embassy-executor",
    "glommio",
    "mio",
    "monoio",
    "polling",
    "smol",
    "smolscale",
    "tokio",
    "tokio-uring",
];

#[test]
fn there_is_no_runtime_in_cores_tree() {
    let workspace = Workspace::load();
    let tree = workspace.tree_of("mayhem-core");
    // That the search finds what is there.
    assert!(tree.contains("futures-core"), "{tree:?}");
    assert!(workspace.tree_of("mayhem-smol").contains("async-io"));
    let runtimes: Vec<_> = RUNTIMES
        .iter()
        .filter(|name| tree.contains(**name))
        .collect();
    assert!(runtimes.is_empty(), "{runtimes:?}");
}

#[test]
fn cores_tree_reaches_neither_the_operating_system_nor_the_clock() {
    let tree = Workspace::load().tree_of("mayhem-core");
    let reaching = [
        "libc",
        "rustix",
        "signal-hook",
        "time",
        "chrono",
        "jiff",
        "log",
    ];
    let found: Vec<_> = reaching
        .iter()
        .filter(|name| tree.contains(**name))
        .collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn the_vendor_sdk_knows_nothing_of_async() {
    let tree = Workspace::load().tree_of("vendor-sdk");
    let is_async = |name: &&String| {
        name.starts_with("futures")
            || name.starts_with("async-")
            || name.starts_with("event-listener")
            || RUNTIMES.contains(&name.as_str())
    };
    let found: Vec<_> = tree.iter().filter(is_async).collect();
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn core_and_the_vendor_sdk_name_none_of_ours() {
    let workspace = Workspace::load();
    assert_eq!(workspace.ours_named_by("mayhem-core"), [] as [&str; 0]);
    assert_eq!(workspace.ours_named_by("vendor-sdk"), [] as [&str; 0]);
}

#[test]
fn adapters_name_core_only_except_a_broker_with_its_sdk_and_an_executor_with_its_probe() {
    let workspace = Workspace::load();
    let mut seen = 0;
    for (name, folder) in &workspace.folders {
        if !folder.starts_with("adapters/") {
            continue;
        }
        seen += 1;
        let may_name: &[&str] = match name.as_str() {
            "mayhem-local" => &["mayhem-bridge", "mayhem-core", "vendor-sdk"],
            "mayhem-smol" | "mayhem-tokio" => &["mayhem-bridge", "mayhem-core"],
            _ => &["mayhem-core"],
        };
        let named = workspace.ours_named_by(name);
        let forbidden: Vec<_> = named
            .iter()
            .filter(|ours| !may_name.contains(ours))
            .collect();
        assert!(forbidden.is_empty(), "{name} names {forbidden:?}");
    }
    assert!(seen >= 6, "only {seen} adapters were found");
}

#[test]
fn only_the_tests_name_the_program_and_nobody_names_the_tests() {
    let workspace = Workspace::load();
    for (name, folder) in &workspace.folders {
        if folder.starts_with("tests") {
            continue;
        }
        for ours in workspace.ours_named_by(name) {
            let folder = &workspace.folders[ours];
            let is_below = folder == "core" || folder.starts_with("adapters/");
            assert!(is_below, "{name} names {ours} in {folder}");
        }
    }
}

#[test]
fn what_only_guides_need_reaches_nobody_else() {
    let workspace = Workspace::load();
    let heavy = ["inotify", "notify", "paho-mqtt", "paho-mqtt-sys", "cmake"];
    for (name, folder) in &workspace.folders {
        if folder.starts_with("tests/guides/") {
            continue;
        }
        let tree = workspace.tree_of(name);
        let found: Vec<_> = heavy.iter().filter(|it| tree.contains(**it)).collect();
        assert!(found.is_empty(), "{name} is built with {found:?}");
    }
    assert!(workspace.tree_of("mayhem-guide-paho").contains("cmake"));
}

struct Workspace {
    metadata: Metadata,
    /// The folder of each of our packages, from the root of the workspace.
    folders: BTreeMap<String, String>,
}

impl Workspace {
    fn load() -> Self {
        let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
        // Offline, and for this platform only: all of that was fetched to build this test.
        let options = [
            "--offline".to_owned(),
            format!("--filter-platform={}", host()),
        ];
        let metadata = MetadataCommand::new()
            .manifest_path(manifest)
            .other_options(options)
            .exec()
            .expect("cargo describes its workspace");
        let root = metadata.workspace_root.clone();
        let folder = |package: &cargo_metadata::Package| {
            let folder = package.manifest_path.parent()?.strip_prefix(&root).ok()?;
            Some((package.name.to_string(), folder.to_string()))
        };
        let folders = metadata
            .workspace_packages()
            .into_iter()
            .filter_map(folder)
            .collect();
        Self { metadata, folders }
    }

    /// Every package that `name` is built with, itself excluded; what only its tests need is not.
    fn tree_of(&self, name: &str) -> BTreeSet<String> {
        let mut seen = BTreeSet::new();
        let mut open = self.named_by(self.id_of(name));
        while let Some(id) = open.pop() {
            if seen.insert(id) {
                open.extend(self.named_by(id));
            }
        }
        seen.into_iter()
            .map(|id| self.metadata[id].name.to_string())
            .collect()
    }

    fn ours_named_by(&self, name: &str) -> Vec<&str> {
        let named = self.named_by(self.id_of(name)).into_iter();
        let names = named.map(|id| self.metadata[id].name.as_str());
        names
            .filter(|name| self.folders.contains_key(*name))
            .collect()
    }

    fn named_by(&self, id: &PackageId) -> Vec<&PackageId> {
        let resolve = self
            .metadata
            .resolve
            .as_ref()
            .expect("dependencies were asked for");
        let node = resolve
            .nodes
            .iter()
            .find(|node| node.id == *id)
            .expect("every id has a node");
        let is_built =
            |kind: &cargo_metadata::DepKindInfo| kind.kind != DependencyKind::Development;
        let built = node
            .deps
            .iter()
            .filter(|dep| dep.dep_kinds.iter().any(is_built));
        built.map(|dep| &dep.pkg).collect()
    }

    fn id_of(&self, name: &str) -> &PackageId {
        let package = self
            .metadata
            .packages
            .iter()
            .find(|package| package.name == name);
        &package
            .unwrap_or_else(|| panic!("{name} is in the workspace"))
            .id
    }
}

/// The platform of this machine, in rustc's words.
fn host() -> String {
    let output = Command::new("rustc")
        .arg("-vV")
        .output()
        .expect("rustc is installed");
    let text = String::from_utf8(output.stdout).expect("rustc speaks UTF-8");
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    host.expect("rustc names its host").to_owned()
}
