//! The name of a core's design, which marketing names hide and virtual machines mask.
//!
//! AMD's table is that of Linux (`arch/x86/kernel/cpu/amd.c`, `bsp_init_amd`), Intel's that of
//! `arch/x86/include/asm/intel-family.h`, Arm's that of `arch/arm64/include/asm/cputype.h`.

/// The design of an x86 core by the vendor string, family, model and stepping that CPUID and `/proc/cpuinfo` tell.
pub(super) fn x86(vendor: &str, family: u32, model: u32, stepping: u32) -> Option<&'static str> {
    match (vendor, family) {
        ("AuthenticAMD", 0x17) => match model {
            0x00..=0x2f | 0x50..=0x5f => Some("Zen 1"),
            0x30..=0x4f | 0x60..=0x7f | 0x90..=0x91 | 0xa0..=0xaf => Some("Zen 2"),
            _ => None,
        },
        ("HygonGenuine", 0x18) => Some("Zen 1"),
        ("AuthenticAMD", 0x19) => match model {
            0x00..=0x0f | 0x20..=0x5f => Some("Zen 3"),
            0x10..=0x1f | 0x60..=0xaf => Some("Zen 4"),
            _ => None,
        },
        ("AuthenticAMD", 0x1a) => match model {
            0x00..=0x2f | 0x40..=0x4f | 0x60..=0x7f => Some("Zen 5"),
            0x50..=0x5f | 0x80..=0xaf | 0xc0..=0xcf => Some("Zen 6"),
            _ => None,
        },
        ("GenuineIntel", 6) => intel(model, stepping),
        _ => None,
    }
}

fn intel(model: u32, stepping: u32) -> Option<&'static str> {
    Some(match model {
        0x3c | 0x3f | 0x45 | 0x46 => "Haswell",
        0x3d | 0x47 | 0x4f | 0x56 => "Broadwell",
        0x4e | 0x5e => "Skylake",
        0x55 => match stepping {
            0..=4 => "Skylake-SP",
            5..=9 => "Cascade Lake",
            _ => "Cooper Lake",
        },
        0x8e | 0x9e => "Kaby Lake",
        0xa5 | 0xa6 => "Comet Lake",
        0x6a | 0x6c => "Ice Lake-SP",
        0x7d | 0x7e => "Ice Lake",
        0x8c | 0x8d => "Tiger Lake",
        0xa7 => "Rocket Lake",
        0x8f => "Sapphire Rapids",
        0xcf => "Emerald Rapids",
        0xad | 0xae => "Granite Rapids",
        0xaf => "Sierra Forest",
        0x97 | 0x9a => "Alder Lake",
        0xb7 | 0xba | 0xbf => "Raptor Lake",
        0xaa | 0xac => "Meteor Lake",
        0xc5 | 0xc6 => "Arrow Lake",
        0xbd => "Lunar Lake",
        _ => return None,
    })
}

/// What a core with AMX is, whatever model number a virtual machine gives it: tiles came with Sapphire Rapids, and no model
/// before has them.
pub(super) fn with_amx(design: Option<&'static str>) -> &'static str {
    match design {
        Some(known @ ("Sapphire Rapids" | "Emerald Rapids" | "Granite Rapids")) => known,
        _ => "Sapphire Rapids+",
    }
}

/// The design of an Arm core by `CPU implementer` and `CPU part`.
pub(super) fn arm(implementer: u32, part: u32) -> Option<&'static str> {
    Some(match (implementer, part) {
        (0x41, 0xd0c) => "Neoverse N1",
        (0x41, 0xd40) => "Neoverse V1",
        (0x41, 0xd49) => "Neoverse N2",
        (0x41, 0xd4f) => "Neoverse V2",
        (0x41, 0xd84) => "Neoverse V3",
        (0x41, 0xd8e) => "Neoverse N3",
        (0x41, 0xd08) => "Cortex-A72",
        (0x41, 0xd0b) => "Cortex-A76",
        (0x46, 0x001) => "A64FX",
        (0x48, 0xd01) => "TaiShan v110",
        (0xc0, 0xac3) => "Ampere-1",
        (0xc0, 0xac4) => "Ampere-1A",
        _ => return None,
    })
}

/// A run-folder name for a CPU: `epyc-zen4`, `ryzen-9-7950x`, `xeon-platinum-8488c`.
///
/// A name without a model number, as virtual machines give it, gets the core's design appended.
pub(super) fn slug(model_name: Option<&str>, design: Option<&str>) -> String {
    const NOISE: &[&str] =
        &["amd", "intel", "cpu", "processor", "gen", "pro", "genuine", "version", "virtual"];
    let name = model_name.unwrap_or_default().to_lowercase();
    let name = name.replace("(r)", " ").replace("(tm)", " ");
    // What follows describes the package, not the core: a clock, a graphics unit, a hypervisor's flags.
    let end = [" with ", " w/", "@", "("].iter().filter_map(|mark| name.find(mark)).min();
    let mut words: Vec<String> = name[..end.unwrap_or(name.len())]
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|w| !w.is_empty() && !NOISE.contains(w))
        .filter(|w| !is_ordinal(w))
        .map(str::to_owned)
        .collect();
    // "96-Core": the count stands in `physical_cores`.
    if let Some(at) = words.iter().position(|w| w == "core")
        && at > 0
        && words[at - 1].bytes().all(|b| b.is_ascii_digit())
    {
        words.drain(at - 1..=at);
    }
    if !words.iter().any(|w| w.bytes().any(|b| b.is_ascii_digit()))
        && let Some(design) = design
    {
        let design: String = design.chars().filter(|c| c.is_ascii_alphanumeric()).collect();
        words.push(design.to_lowercase());
    }
    let mut slug = words.join("-");
    slug.truncate(40);
    let slug = slug.trim_matches('-');
    if slug.is_empty() { format!("{}-cpu", std::env::consts::ARCH) } else { slug.to_owned() }
}

/// `12th`, `1st`: a generation, which the model number tells as well.
fn is_ordinal(word: &str) -> bool {
    ["st", "nd", "rd", "th"].iter().any(|end| {
        word.strip_suffix(end)
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_and_models_name_the_design() {
        assert_eq!(x86("AuthenticAMD", 25, 17, 1), Some("Zen 4"));
        assert_eq!(x86("AuthenticAMD", 25, 1, 1), Some("Zen 3"));
        assert_eq!(x86("AuthenticAMD", 26, 2, 1), Some("Zen 5"));
        assert_eq!(x86("GenuineIntel", 6, 0x55, 7), Some("Cascade Lake"));
        assert_eq!(x86("GenuineIntel", 6, 0x8f, 8), Some("Sapphire Rapids"));
        assert_eq!(with_amx(x86("GenuineIntel", 6, 0xcf, 2)), "Emerald Rapids");
        assert_eq!(with_amx(x86("GenuineIntel", 6, 0xa7, 1)), "Sapphire Rapids+");
        assert_eq!(x86("Nobody", 6, 0x8f, 8), None);
        assert_eq!(arm(0x41, 0xd4f), Some("Neoverse V2"));
    }

    #[test]
    fn slugs_are_short_and_tell_machines_apart() {
        for (name, design, slug_text) in [
            ("AMD EPYC", Some("Zen 4"), "epyc-zen4"),
            ("AMD Ryzen 9 7950X 16-Core Processor", Some("Zen 4"), "ryzen-9-7950x"),
            ("AMD EPYC 9654 96-Core Processor", Some("Zen 4"), "epyc-9654"),
            ("AMD Ryzen 7 PRO 7840U w/ Radeon 780M Graphics", Some("Zen 4"), "ryzen-7-7840u"),
            ("AMD Ryzen AI 9 HX 370 w/ Radeon 890M", Some("Zen 5"), "ryzen-ai-9-hx-370"),
            ("Intel(R) Xeon(R) Platinum 8488C", Some("Sapphire Rapids"), "xeon-platinum-8488c"),
            ("Intel(R) Core(TM) i7-8650U CPU @ 1.90GHz", Some("Kaby Lake"), "core-i7-8650u"),
            ("12th Gen Intel(R) Core(TM) i7-12700K", Some("Alder Lake"), "core-i7-12700k"),
            ("Intel Xeon Processor (Skylake, IBRS)", Some("Skylake-SP"), "xeon-skylakesp"),
            ("Apple M2", None, "apple-m2"),
            ("", Some("Neoverse V1"), "neoversev1"),
        ] {
            assert_eq!(slug(Some(name), design), slug_text, "{name}");
        }
        assert!(slug(None, None).ends_with("-cpu"));
        assert!(slug(Some(&"é/../x ".repeat(40)), None).len() <= 40);
    }
}
