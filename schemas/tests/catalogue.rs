//! The catalogue that ships with the product loads, contradicts itself nowhere, and says what the templates say.

use std::path::Path;

use xinqiao_schemas::Catalogue;

fn catalogue() -> Catalogue {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("catalogue");
    Catalogue::load(&directory).unwrap_or_else(|errors| panic!("{errors}"))
}

#[test]
fn it_loads_and_nothing_deserves_a_look() {
    let found = catalogue().check();
    assert!(found.is_empty(), "{found:#?}");
}
