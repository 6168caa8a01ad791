//! Tells cargo that the binary holds the scenarios: `include_dir!` does not see new files.

fn main() {
    println!("cargo:rerun-if-changed=scenarios");
    println!("cargo:rerun-if-changed=build.rs");
}
