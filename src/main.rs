//! The `scalemark` command.

#[global_allocator]
static ALLOCATOR: scalemark::device::memory::CountingAllocator =
    scalemark::device::memory::CountingAllocator;

fn main() {}
