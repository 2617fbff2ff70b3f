//! Every example of every `--help`, run as it stands there by a shell, in a folder that has what it names.

mod example;
#[cfg(target_os = "linux")]
mod folder;
#[cfg(target_os = "linux")]
mod reader;
#[cfg(target_os = "linux")]
mod special;

use clap::{CommandFactory, Parser};
use scalemark::cmd::Cli;

use example::{Example, all};

#[test]
fn every_command_has_an_example_and_each_is_a_command_line_that_is_taken() {
    let found = all();
    let mut commands = vec![(String::from("scalemark"), Cli::command())];
    while let Some((name, command)) = commands.pop() {
        if command.is_hide_set() || command.get_name() == "help" {
            continue;
        }
        let has = found.iter().any(|example| example.of.contains(&name));
        assert!(has || command.has_subcommands(), "{name} has no example");
        let below = command.get_subcommands().cloned();
        commands.extend(below.map(|one| (format!("{name} {}", one.get_name()), one)));
    }
    for Example { line, .. } in &found {
        let parsed = Cli::try_parse_from(example::words(line));
        let taken = parsed.as_ref().err().is_none_or(|error| !error.use_stderr());
        assert!(taken, "{line}: {}", parsed.unwrap_err());
    }
}

#[cfg(target_os = "linux")]
mod runs {
    use std::collections::VecDeque;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Stdio;
    use std::sync::Mutex;
    use std::time::{Duration, Instant};

    use super::folder::Base;
    use super::special::{SPECIAL, Way, codes};
    use super::{Example, all, reader};

    /// What came of an example.
    struct Fate {
        /// A line to print: how it went, after which time.
        told: String,
        /// What is wrong.
        fault: Option<String>,
    }

    /// Runs an example in a copy of the folder.
    fn run(base: &Base, example: &Example) -> Fate {
        let line = example.line.as_str();
        let special = SPECIAL.iter().find(|special| special.line == line);
        let why = special.map_or("", |special| special.why);
        let (before, more) = match special {
            None => ("", ""),
            Some(special) => match special.way {
                Way::With(more) => ("", more),
                Way::Behind(before) => (before, ""),
                Way::Parsed => {
                    let told = format!("parsed only      {line}: {}", special.why);
                    return Fate { told, fault: None };
                }
            },
        };
        let (command, rest) = example.parts();
        let command = format!("{command}{}{more}", if more.is_empty() { "" } else { " " });
        let (shell, pipe) = match rest.strip_prefix("| ") {
            Some(pipe) => (command.clone(), Some(pipe)),
            None => (format!("{command} {rest}"), None),
        };
        let folder = base.copy();
        if !before.is_empty() {
            let out = base.shell(folder.path(), before).output().unwrap();
            let said = String::from_utf8_lossy(&out.stderr);
            assert!(out.status.success(), "{before}: {said}");
        }
        let start = Instant::now();
        let out = base.shell(folder.path(), &shell).stdin(Stdio::null()).output().unwrap();
        let seconds = start.elapsed().as_secs_f64();
        let (printed, complaints) =
            (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        let code = out.status.code();
        let mut fault = None;
        if !code.is_some_and(|code| codes(line).contains(&code)) {
            let how = code.map_or(format!("signal {:?}", out.status.signal()), |c| c.to_string());
            fault = Some(format!("exit code {how}\n{printed}{complaints}"));
        } else if let Some(pipe) = pipe {
            fault = reader::unreadable(pipe, &printed).map(|why| format!("{why}\n{printed}"));
        }
        if code == Some(2) && fault.is_none() && !complaints.contains("valgrind") {
            fault = Some(format!("an error that does not name what is missing: {complaints}"));
        }
        let nothing = ["\n0 right, ", "\n0 measured, 0 simulated, "];
        if nothing.iter().any(|sum| format!("\n{printed}").contains(sum)) {
            fault = Some(format!("it does nothing at all:\n{printed}"));
        }
        if complaints.contains("panicked") {
            fault = Some(complaints.into_owned());
        }
        let shown = if why.is_empty() { line.to_owned() } else { format!("{command} ({why})") };
        let told = format!("code {} {seconds:6.2} s  {shown}", code.unwrap_or(-1));
        Fate { told, fault: fault.map(|fault| format!("{shown}: {fault}")) }
    }

    #[test]
    fn every_example_runs_and_ends_as_its_command_promises() {
        let base = Base::new();
        let examples = all();
        for special in SPECIAL {
            let known = examples.iter().any(|example| example.line == special.line);
            assert!(known, "no help has the example `{}` any more", special.line);
        }
        let start = Instant::now();
        let queue = Mutex::new(examples.iter().collect::<VecDeque<_>>());
        let fates = Mutex::new(Vec::new());
        let next = || queue.lock().unwrap().pop_front();
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some(example) = next() {
                        let fate = run(&base, example);
                        println!("{}", fate.told);
                        fates.lock().unwrap().push(fate);
                    }
                });
            }
        });
        let fates = fates.into_inner().unwrap();
        let parsed = fates.iter().filter(|fate| fate.told.starts_with("parsed only")).count();
        let took = Duration::from_secs(start.elapsed().as_secs());
        println!("{} examples ran, {parsed} were parsed only, in {took:?}", fates.len() - parsed);
        let faults: Vec<&str> = fates.iter().filter_map(|fate| fate.fault.as_deref()).collect();
        assert!(faults.is_empty(), "{} examples failed:\n{}", faults.len(), faults.join("\n\n"));
    }
}
