//! Rows as a table for a person.

use std::fmt::Write;

use crate::measure::{OURS, Row};

/// Each case as lines, with how many times as good ours is as each peer.
pub(crate) fn render(rows: &[Row]) -> String {
    let cases = rows.chunk_by(|one, next| one.case == next.case);
    cases.map(render_case).collect()
}

fn render_case(rows: &[Row]) -> String {
    let Some(first) = rows.first() else {
        return String::new();
    };
    let ours = rows
        .iter()
        .find(|row| row.peer == OURS)
        .map(|row| row.value);
    let mut text = String::new();
    // Ignored, here and below: writing to a string cannot fail.
    let _ = writeln!(
        text,
        "{}  ({}, n = {})",
        first.case,
        first.unit.name(),
        first.n
    );
    for row in rows {
        let ratio = match ours {
            // Not of nothing: there is no such ratio.
            Some(ours) if row.peer != OURS && ours > 0.0 => {
                format!("  mayhem is {:.2}x", row.unit.ratio(ours, row.value))
            }
            _ => String::new(),
        };
        let digits = row.unit.digits();
        let _ = writeln!(
            text,
            "  {:<28}{:>12.digits$}   {:>12.digits$} .. {:<12.digits$}{ratio}",
            row.peer, row.value, row.min, row.max
        );
    }
    text.push('\n');
    text
}
