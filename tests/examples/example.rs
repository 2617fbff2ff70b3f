//! The examples of the help texts.

use clap::CommandFactory;
use scalemark::cmd::Cli;

/// A command line that a help text shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Example {
    /// The commands whose help has it, as `scalemark gate pair`.
    pub of: Vec<String>,
    /// The line, without what is said behind it.
    pub line: String,
}

impl Example {
    /// The command, and what a shell does with its output: from a pipe or a redirection on.
    #[cfg(target_os = "linux")]
    pub fn parts(&self) -> (&str, &str) {
        let at = [" | ", " > "].iter().filter_map(|sign| self.line.find(sign)).min();
        at.map_or((&self.line, ""), |at| (&self.line[..at], self.line[at..].trim()))
    }
}

/// All of them, each once.
pub fn all() -> Vec<Example> {
    let mut found: Vec<Example> = Vec::new();
    let mut commands = vec![(String::from("scalemark"), Cli::command())];
    while let Some((of, command)) = commands.pop() {
        if command.is_hide_set() || command.get_name() == "help" {
            continue;
        }
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for line in help.lines().filter(|line| line.starts_with("  scalemark")) {
            let line = line.trim_start().split("  ").next().unwrap_or_default().to_owned();
            match found.iter_mut().find(|known| known.line == line) {
                Some(known) => known.of.push(of.clone()),
                None => found.push(Example { of: vec![of.clone()], line }),
            }
        }
        let below = command.get_subcommands().cloned();
        commands.extend(below.map(|one| (format!("{of} {}", one.get_name()), one)));
    }
    found
}

/// The words of a command line up to a pipe or a redirection, as a shell reads them; apostrophes quote.
pub fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for c in line.chars() {
        match c {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().expect("there is one at first").push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    let end = words.iter().position(|word| ["|", ">"].contains(&word.as_str()));
    words.truncate(end.unwrap_or(words.len()));
    words
}
