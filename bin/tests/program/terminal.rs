//! What a person sees of the program, on a terminal.

use std::fs::{File, OpenOptions};
use std::io::Read;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::place::Place;

#[test]
fn what_is_logged_and_told_stands_above_the_progress_line() {
    let place = Place::empty();
    let (mut screen, terminal) = terminal();
    let mut command = place.command(&["-vv", "demo", "--for", "1s"]);
    command
        .stdout(terminal.try_clone().unwrap())
        .stderr(terminal);
    let mut child = command.spawn().unwrap();
    drop(command);

    let mut shown = Vec::new();
    // Ends with an error, when the last process that has the terminal does.
    let _ = screen.read_to_end(&mut shown);
    assert_eq!(child.wait().unwrap().code(), Some(0));

    let shown = String::from_utf8(shown).unwrap();
    let lines: Vec<&str> = shown.split("\r\n").collect();
    let on_top = |line: &&str| line.contains(" of 1 s  restarted ");
    let erased = lines.iter().filter(|line| on_top(line)).count();
    assert!(erased > 3, "{shown:?}");
    for line in lines {
        // Whatever stood there was erased before.
        let visible = line.rsplit(CLEAR_LINE).next().unwrap_or_default();
        assert!(!on_top(&visible), "{line:?}");
    }
    for told in [" published ", " restarted ", "INFO ", "DEBUG"] {
        assert!(shown.contains(told), "{told:?} is not in {shown:?}");
    }
}

/// A terminal: what is shown on it, and the end that a program writes to.
fn terminal() -> (File, File) {
    let screen = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&screen).unwrap();
    unlockpt(&screen).unwrap();
    let name = ptsname(&screen, Vec::new()).unwrap();
    let terminal = OpenOptions::new()
        .read(true)
        .write(true)
        .open(name.to_str().unwrap())
        .unwrap();
    (File::from(screen), terminal)
}

const CLEAR_LINE: &str = "\r\u{1b}[2K";
