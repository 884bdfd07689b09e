use super::*;

fn strings(argv: &[&str]) -> Vec<String> {
    argv.iter().map(|&part| part.to_owned()).collect()
}

#[test]
fn the_port_is_filled_in_wherever_it_stands() {
    let argv = strings(&["/bin/x", "--port", "{port}", "--url=http://h:{port}/"]);

    let launch = Launch::child(&argv, Some(7701));

    let expected = ["/bin/x", "--port", "7701", "--url=http://h:7701/"];
    assert_eq!(launch.argv, expected);
}

#[test]
fn the_target_is_only_ever_a_whole_argument() {
    let argv = strings(&["/bin/x", "{target}", "--host={target}", "{port}"]);

    let launch = Launch::command(&argv, &Target::parse("web-1").unwrap());

    let expected = ["/bin/x", "web-1", "--host={target}", "{port}"];
    assert_eq!(launch.argv, expected);
}

#[test]
fn a_program_is_an_absolute_path_or_searched_for() {
    let resolve = |program: &str| Launch::child(&strings(&[program]), None).resolve();

    assert_eq!(resolve("/bin/sh"), Ok(PathBuf::from("/bin/sh")));
    assert!(resolve("sh").is_ok_and(|found| found.is_absolute()));
    for wrong in [
        "",
        "./sh",
        "bin/sh",
        "/bin",
        "/etc/passwd",
        "no-such-program",
    ] {
        assert!(resolve(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn nothing_of_our_own_environment_is_passed_on() {
    let argv = strings(&["/usr/bin/env"]);
    let launch = Launch::command(&argv, &Target::parse("web-1").unwrap());

    let output = launch.to_command().unwrap().stdout(Stdio::piped()).output();

    let output = String::from_utf8(output.unwrap().stdout).unwrap();
    let mut names: Vec<&str> = output
        .lines()
        .filter_map(|line| line.split('=').next())
        .collect();
    names.sort_unstable();
    assert_eq!(names, ["MANDRILL_TARGET", "PATH"]);
}
