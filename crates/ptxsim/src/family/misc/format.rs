//! Formats of C's `printf`.

/// A piece of a format.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Piece {
    /// Text as it is.
    Text(String),
    /// `%…`
    Conversion(Conversion),
}

/// `%[flags][width][.precision][length]type`
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Conversion {
    left: bool,
    plus: bool,
    space: bool,
    alternate: bool,
    zero: bool,
    width: Size,
    precision: Size,
    long: bool,
    /// Bits that a short integer is cut to: 8 or 16.
    short: Option<u32>,
    ty: char,
}

/// A width or precision.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
enum Size {
    #[default]
    None,
    Given(usize),
    /// `*`: an argument.
    Argument,
}

/// An argument, and its type.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Argument {
    Int(i32),
    Long(i64),
    Double(f64),
    Text(String),
}

impl Conversion {
    /// Types of the arguments that it takes, in order.
    pub fn arguments(&self) -> Vec<Argument> {
        let stars = [self.width, self.precision].into_iter().filter(|s| *s == Size::Argument);
        let mut all: Vec<Argument> = stars.map(|_| Argument::Int(0)).collect();
        all.push(match self.ty {
            'e' | 'E' | 'f' | 'F' | 'g' | 'G' => Argument::Double(0.0),
            's' => Argument::Text(String::new()),
            'p' => Argument::Long(0),
            _ if self.long => Argument::Long(0),
            _ => Argument::Int(0),
        });
        all
    }
}

/// Takes a format apart.
///
/// # Errors
/// In words, for a conversion that C does not have, or that is not executed (`%a`, `%n`).
pub(super) fn pieces(format: &str) -> Result<Vec<Piece>, String> {
    let (mut out, mut text) = (Vec::new(), String::new());
    let mut rest = format.chars().peekable();
    while let Some(c) = rest.next() {
        if c != '%' {
            text.push(c);
            continue;
        }
        if rest.next_if_eq(&'%').is_some() {
            text.push('%');
            continue;
        }
        let mut conversion = Conversion::default();
        while let Some(flag) = rest.next_if(|c| "-+ #0".contains(*c)) {
            match flag {
                '-' => conversion.left = true,
                '+' => conversion.plus = true,
                ' ' => conversion.space = true,
                '#' => conversion.alternate = true,
                _ => conversion.zero = true,
            }
        }
        let size = |rest: &mut std::iter::Peekable<std::str::Chars>, none: Size| {
            if rest.next_if_eq(&'*').is_some() {
                return Size::Argument;
            }
            let mut digits = String::new();
            while let Some(digit) = rest.next_if(char::is_ascii_digit) {
                digits.push(digit);
            }
            if digits.is_empty() {
                none
            } else {
                Size::Given(digits.parse().unwrap_or(0).min(4096))
            }
        };
        conversion.width = size(&mut rest, Size::None);
        if rest.next_if_eq(&'.').is_some() {
            conversion.precision = size(&mut rest, Size::Given(0));
        }
        while let Some(length) = rest.next_if(|c| "hlLqjzt".contains(*c)) {
            match length {
                'h' => conversion.short = Some(if conversion.short.is_some() { 8 } else { 16 }),
                _ => conversion.long = true,
            }
        }
        match rest.next() {
            Some(ty) if "diuxXocfFeEgGsp".contains(ty) => conversion.ty = ty,
            Some(ty) => return Err(format!("%{ty} is not executed")),
            None => return Err("the format ends within a conversion".into()),
        }
        out.push(Piece::Text(std::mem::take(&mut text)));
        out.push(Piece::Conversion(conversion));
    }
    out.push(Piece::Text(text));
    Ok(out)
}

/// Appends a piece with its arguments, of the types that it asked for.
pub(super) fn render(piece: &Piece, arguments: &[Argument], out: &mut String) {
    let c = match piece {
        Piece::Text(text) => return out.push_str(text),
        Piece::Conversion(conversion) => conversion,
    };
    let mut arguments = arguments.iter();
    let mut number = |size: Size| match size {
        Size::None => None,
        Size::Given(n) => Some(n as i64),
        Size::Argument => match arguments.next() {
            Some(Argument::Int(n)) => Some(*n as i64),
            _ => None,
        },
    };
    let (width, precision) = (number(c.width).unwrap_or(0), number(c.precision));
    let left = c.left || width < 0;
    let width = width.unsigned_abs().min(4096) as usize;
    let precision = precision.and_then(|p| usize::try_from(p).ok());
    let (sign, digits, numeric) = match (c.ty, arguments.next()) {
        ('s', Some(Argument::Text(text))) => {
            (String::new(), text.chars().take(precision.unwrap_or(usize::MAX)).collect(), false)
        }
        ('c', Some(Argument::Int(n))) => (String::new(), char::from(*n as u8).to_string(), false),
        ('p', Some(Argument::Long(n))) => (String::new(), format!("{n:#x}"), false),
        (_, Some(Argument::Double(x))) => {
            let digits = float(x.abs(), c, precision.unwrap_or(6));
            (signed(x.is_sign_negative() && !x.is_nan(), c), digits, x.is_finite())
        }
        (_, Some(Argument::Int(n))) => integer(*n as i64, 32, c, precision),
        (_, Some(Argument::Long(n))) => integer(*n, 64, c, precision),
        _ => return,
    };
    let pad = width.saturating_sub(sign.chars().count() + digits.chars().count());
    let integral = !matches!(c.ty, 'e' | 'E' | 'f' | 'F' | 'g' | 'G');
    if left {
        *out += &sign;
        *out += &digits;
        out.extend(std::iter::repeat_n(' ', pad));
    } else if c.zero && numeric && !(integral && precision.is_some()) {
        *out += &sign;
        out.extend(std::iter::repeat_n('0', pad));
        *out += &digits;
    } else {
        out.extend(std::iter::repeat_n(' ', pad));
        *out += &sign;
        *out += &digits;
    }
}

fn signed(negative: bool, c: &Conversion) -> String {
    let sign = match (negative, c.plus, c.space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    };
    sign.into()
}

/// Sign or base, digits, and that it may be padded with zeros.
fn integer(n: i64, bits: u32, c: &Conversion, precision: Option<usize>) -> (String, String, bool) {
    let bits = c.short.unwrap_or(bits);
    let n = n << (64 - bits) >> (64 - bits);
    let unsigned = n as u64 & (!0 >> (64 - bits));
    let (sign, digits) = match c.ty {
        'd' | 'i' => (signed(n < 0, c), n.unsigned_abs().to_string()),
        'u' => (String::new(), unsigned.to_string()),
        'o' => (if c.alternate { "0" } else { "" }.into(), format!("{unsigned:o}")),
        'X' => (if c.alternate && n != 0 { "0X" } else { "" }.into(), format!("{unsigned:X}")),
        _ => (if c.alternate && n != 0 { "0x" } else { "" }.into(), format!("{unsigned:x}")),
    };
    let zeros = precision.unwrap_or(1).saturating_sub(digits.len());
    let digits = if precision == Some(0) && unsigned == 0 { String::new() } else { digits };
    (sign, "0".repeat(zeros) + &digits, true)
}

fn float(x: f64, c: &Conversion, precision: usize) -> String {
    let text = if x.is_nan() {
        "nan".into()
    } else if x.is_infinite() {
        "inf".into()
    } else {
        match c.ty {
            'f' | 'F' => format!("{x:.precision$}"),
            'e' | 'E' => exponential(x, precision),
            _ => {
                let digits = precision.max(1);
                let shown = exponential(x, digits - 1);
                let exponent: i64 =
                    shown.rsplit('e').next().and_then(|e| e.parse().ok()).unwrap_or(0);
                let fixed = (-4..digits as i64).contains(&exponent);
                let text = if fixed {
                    format!("{x:.*}", (digits as i64 - 1 - exponent) as usize)
                } else {
                    shown
                };
                if c.alternate { text } else { trimmed(&text) }
            }
        }
    };
    if c.ty.is_ascii_uppercase() { text.to_uppercase() } else { text }
}

/// As C writes it: an exponent has a sign and two digits at least.
fn exponential(x: f64, precision: usize) -> String {
    let text = format!("{x:.precision$e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// Without zeros at the end of the fraction.
fn trimmed(text: &str) -> String {
    let (mantissa, exponent) = match text.find('e') {
        Some(at) => text.split_at(at),
        None => (text, ""),
    };
    let mantissa = if mantissa.contains('.') {
        mantissa.trim_end_matches('0').trim_end_matches('.')
    } else {
        mantissa
    };
    format!("{mantissa}{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(format: &str, arguments: &[Argument]) -> String {
        let mut out = String::new();
        let mut arguments = arguments.iter().cloned();
        for piece in pieces(format).unwrap() {
            let n = if let Piece::Conversion(c) = &piece { c.arguments().len() } else { 0 };
            let taken: Vec<Argument> = arguments.by_ref().take(n).collect();
            render(&piece, &taken, &mut out);
        }
        out
    }

    #[test]
    fn conversions_print_as_c_prints_them() {
        use Argument::{Double, Int, Long, Text};
        let cases: &[(&str, Argument, &str)] = &[
            ("[%d]", Int(-42), "[-42]"),
            ("[%5d|]", Int(42), "[   42|]"),
            ("[%-5d|]", Int(42), "[42   |]"),
            ("[%05d]", Int(-42), "[-0042]"),
            ("[%+d]", Int(42), "[+42]"),
            ("[%.3d]", Int(7), "[007]"),
            ("[%u]", Int(-1), "[4294967295]"),
            ("[%#x]", Int(255), "[0xff]"),
            ("[%08X]", Int(0xBEEF), "[0000BEEF]"),
            ("[%hhd]", Int(0x1FF), "[-1]"),
            ("[%lld]", Long(-1 << 40), "[-1099511627776]"),
            ("[%zu]", Long(-1), "[18446744073709551615]"),
            ("[%c]", Int(65), "[A]"),
            ("[%s]", Text("hi".into()), "[hi]"),
            ("[%.1s]", Text("hi".into()), "[h]"),
            ("[%f]", Double(1.5), "[1.500000]"),
            ("[%.0f]", Double(2.5), "[2]"),
            ("[%8.2f]", Double(-3.146), "[   -3.15]"),
            ("[%e]", Double(12345.678), "[1.234568e+04]"),
            ("[%g]", Double(0.0001), "[0.0001]"),
            ("[%g]", Double(1e-5), "[1e-05]"),
            ("[%g]", Double(123456789.0), "[1.23457e+08]"),
            ("[%g]", Double(100.0), "[100]"),
            ("[%f]", Double(f64::NEG_INFINITY), "[-inf]"),
            ("[%p]", Long(0x1000), "[0x1000]"),
        ];
        for (format, argument, expected) in cases {
            assert_eq!(printed(format, std::slice::from_ref(argument)), *expected, "{format}");
        }
        assert_eq!(printed("%*d%%", &[Int(4), Int(7)]), "   7%");
    }

    #[test]
    fn a_conversion_that_is_not_executed_is_named() {
        assert!(pieces("%a").unwrap_err().contains("%a"));
        assert!(pieces("%").is_err());
    }
}
