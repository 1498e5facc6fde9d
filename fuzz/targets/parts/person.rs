//! A made-up person, put into inputs wherever the fuzzer likes, and looked for in everything that comes out.

/// A name and a number as a hospital would write them.
const PERSON: [&str; 2] = ["Zakariasson", "19121212-1212"];

/// The input with a person for each `@`: the name and the number by turns.
pub fn put_into(input: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(input.len() * 2);
    let mut persons = PERSON.iter().cycle();
    for &byte in input {
        match byte {
            b'@' => out.extend_from_slice(persons.next().expect("a cycle has no end").as_bytes()),
            byte => out.push(byte),
        }
    }
    out
}

/// Whether any of the person is there, whatever its case, or its number without the dash.
pub fn is_in(output: &[u8]) -> bool {
    let output = output.to_ascii_lowercase();
    ["zakariasson", "19121212-1212", "191212121212"]
        .iter()
        .any(|person| output.windows(person.len()).any(|window| window == person.as_bytes()))
}
