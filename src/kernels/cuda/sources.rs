//! The headers that kernels include, embedded: an installed binary compiles in any folder.

macro_rules! headers {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../../../kernels/", $name)))),*]
    };
}

/// Every header, by the name in `#include`.
pub static HEADERS: &[(&str, &str)] = headers![
    "attention/flash.cuh",
    "attention/flash_mma_backward.cuh",
    "attention/shape.cuh",
    "common/ptx.cuh",
    "common/softmax.cuh",
    "common/tiles.cuh",
    "common/wgmma.cuh",
    "matmul/operands.cuh",
    "optimizer/rules.cuh",
    "peak/streams.cuh",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_header_of_the_kernels_folder_is_embedded() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("kernels");
        for folder in
            std::fs::read_dir(&root).unwrap().map(|e| e.unwrap().path()).filter(|p| p.is_dir())
        {
            for file in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
                if file.extension().is_some_and(|e| e == "cuh") {
                    let name = file.strip_prefix(&root).unwrap().to_str().unwrap();
                    assert!(HEADERS.iter().any(|(known, _)| *known == name), "{name} is missing");
                }
            }
        }
    }
}
