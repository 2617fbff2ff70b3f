//! Any bytes as PTX: understood, or refused with a line of the text; never a panic. What is understood prints as a text that
//! is understood, and resolving its entries gives a program or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ptxsim::{Error, Module};

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match Module::parse(text) {
        Ok(module) => {
            let printed = module.ast().to_string();
            let again = Module::parse(&printed).expect("what was printed is PTX");
            assert_eq!(again.ast().to_string(), printed);
            for entry in module.entries() {
                _ = module.resolve(entry);
            }
        }
        Err(Error::Parse { line, .. }) => {
            assert!(line >= 1 && line as usize <= text.matches('\n').count() + 1);
        }
        Err(error) => panic!("{error}"),
    }
});
