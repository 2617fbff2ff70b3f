//! The `scalemark` command.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: scalemark::device::memory::CountingAllocator = scalemark::device::memory::CountingAllocator;

fn main() -> ExitCode {
    match scalemark::cmd::main() {
        Ok(code) => code,
        // A reader that has seen enough (`scalemark list | head`) is no error.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let kind = |e: &std::io::Error| e.kind() == std::io::ErrorKind::BrokenPipe;
    error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>()).any(kind)
}
