//! Regenerates `crates/wire/src/gen` from `proto/`.

use std::path::Path;

#[path = "../tests/generator/mod.rs"]
mod generator;

fn main() -> std::io::Result<()> {
    let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gen");
    generator::generate(&out)?;
    for name in generator::FILES {
        println!("{}", out.join(name).display());
    }
    Ok(())
}
