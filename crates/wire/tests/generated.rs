//! What is committed under `src/gen` is what `proto/` says.

use std::fs;
use std::path::Path;

mod generator;

#[test]
fn committed_code_is_what_the_proto_files_generate() {
    let fresh = tempfile::tempdir().unwrap();
    generator::generate(fresh.path()).unwrap();
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/gen");
    for name in generator::FILES {
        let (fresh, committed) = (fs::read(fresh.path().join(name)).unwrap(), fs::read(committed.join(name)).unwrap());
        assert!(fresh == committed, "{name} is stale: cargo run -p jjj-wire --example generate");
    }
    let extra: Vec<_> = fs::read_dir(&committed)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !generator::FILES.contains(&name.as_str()))
        .collect();
    assert_eq!(extra, Vec::<String>::new(), "files that nothing generates");
}
