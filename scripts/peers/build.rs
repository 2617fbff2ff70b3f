fn main() {
    // Tango loads the other binary into its own process, and finds the benchmarks by their symbols.
    println!("cargo:rustc-link-arg-benches=-rdynamic");
    println!("cargo:rerun-if-env-changed=WORK");
    println!("cargo:rerun-if-changed=build.rs");
}
