use std::path::Path;

use super::template;
use crate::config::{RestarterSpec, check};

#[test]
fn the_template_is_a_config_without_problems_whose_keys_are_active() {
    let checked = check(&template(), Path::new("/srv"));

    assert_eq!(checked.problems, []);
    let config = checked.config.unwrap();
    assert_eq!(config.groups.len(), 1);
    let RestarterSpec::Process { argv, count, .. } = &config.groups[0].restarter else {
        panic!("the demo group spawns processes")
    };
    assert_eq!(*count, 5);
    assert_eq!(Path::new(&argv[0]), std::env::current_exe().unwrap());
    assert!(config.is_live(&config.groups[0]));
}

#[test]
fn the_keys_of_the_template_say_what_is_the_default_anyway() {
    let config = check(&template(), Path::new("/srv")).config.unwrap();
    let mut defaults = crate::config::Config::default();
    defaults.service.state = "/srv/mandrill.db".into();

    assert_eq!(config.service, defaults.service);
    assert_eq!(config.source, defaults.source);
    assert_eq!(config.policy, defaults.policy);
}

#[test]
fn the_commented_group_is_right_too() {
    let template = template();
    let start = template.find("# [[group]]").unwrap();
    let group: String = template[start..]
        .lines()
        .map(|line| line.trim_start_matches("# ").to_owned() + "\n")
        .collect();

    let checked = check(&(template[..start].to_owned() + &group), Path::new("/srv"));

    assert_eq!(checked.problems, []);
    assert_eq!(checked.config.unwrap().groups.len(), 2);
}
