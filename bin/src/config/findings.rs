//! What is wrong with a config, and where.

use std::ops::Range;

use serde::Serialize;

use crate::output::escape;

/// The most problems that are reported: a file of noise has one in every line.
const PROBLEMS_MAX: usize = 100;

/// One thing that is wrong, or worth a look.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong and what to do, escaped.
    pub message: String,
    /// What was probably meant.
    pub suggestion: Option<String>,
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)?;
        match &self.suggestion {
            Some(meant) => write!(f, "; did you mean `{meant}`?"),
            None => Ok(()),
        }
    }
}

/// Which of `known` was probably meant by `given`; `None` when nothing is near.
pub fn closest<'k>(given: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    // The distance costs the product of the lengths, and no name is longer.
    if given.len() > 256 {
        return None;
    }
    let given = given.to_lowercase();
    let distance = |name: &str| strsim::damerau_levenshtein(&given, name);
    let near = |name: &str| (1 + name.len() / 4).min(4);
    known
        .into_iter()
        .filter(|name| distance(name) <= near(name))
        .min_by_key(|name| distance(name))
}

/// Collects problems while a document is walked.
pub(super) struct Findings<'t> {
    text: &'t str,
    /// Whether the text is no TOML: what seems to be missing may only be unreadable.
    is_broken: bool,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl<'t> Findings<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            text,
            is_broken: false,
            problems: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// The text is no TOML here.
    pub(super) fn syntax(&mut self, span: Range<usize>, message: &str) {
        self.is_broken = true;
        self.problem(span, message, None);
    }

    pub(super) fn problem(&mut self, span: Range<usize>, message: &str, meant: Option<&str>) {
        let line = self.line(span.start);
        let is_told = self.is_broken && self.problems.iter().any(|told| told.line == line);
        if !is_told && self.problems.len() < PROBLEMS_MAX {
            self.problems.push(problem(line, message, meant));
        }
    }

    /// Something that must be there is not; `span` is where it should be.
    pub(super) fn missing(&mut self, span: Range<usize>, message: &str) {
        if !self.is_broken {
            self.problem(span, message, None);
        }
    }

    pub(super) fn warning(&mut self, span: Range<usize>, message: &str) {
        let line = self.line(span.start);
        self.warnings.push(problem(line, message, None));
    }

    /// The problems and the warnings, in the order of their lines.
    pub(super) fn finish(mut self) -> (Vec<Problem>, Vec<Problem>) {
        self.problems.sort_by_key(|problem| problem.line);
        self.warnings.sort_by_key(|warning| warning.line);
        (self.problems, self.warnings)
    }

    fn line(&self, at: usize) -> usize {
        let before = self.text.as_bytes().iter().take(at);
        1 + before.filter(|byte| **byte == b'\n').count()
    }
}

fn problem(line: usize, message: &str, meant: Option<&str>) -> Problem {
    Problem {
        line,
        message: escape(message).into_owned(),
        suggestion: meant.map(|meant| escape(meant).into_owned()),
    }
}
