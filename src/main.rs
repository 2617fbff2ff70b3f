//! The `scalemark` command.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: scalemark::device::memory::CountingAllocator =
    scalemark::device::memory::CountingAllocator;

fn main() -> ExitCode {
    match scalemark::cmd::main() {
        Ok(code) => code,
        // A reader that has seen enough (`scalemark list | head`) is no error.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            scalemark::cmd::note(&format!("error: {}", explain(&error)));
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = |e: &std::io::Error| e.kind() == std::io::ErrorKind::BrokenPipe;
    error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).any(kind)
}

/// The error and its causes in one line; a cause that the error's own text ends with is not said twice.
fn explain(error: &anyhow::Error) -> String {
    error.chain().map(|cause| cause.to_string()).fold(String::new(), |text, cause| {
        match text.is_empty() {
            true => cause,
            false if text.ends_with(&cause) => text,
            false => format!("{text}: {cause}"),
        }
    })
}
