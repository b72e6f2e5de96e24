//! Files as people have them.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use super::*;

fn parsed(csv: &str) -> Parsed {
    read(csv.as_bytes(), &BTreeMap::new(), &[]).unwrap()
}

fn refused(csv: &str) -> String {
    read(csv.as_bytes(), &BTreeMap::new(), &[]).unwrap_err().to_string()
}

fn first(parsed: &Parsed) -> &NewContact {
    &parsed.chunks[0][0].contact
}

#[test]
fn rows_are_refused_with_their_reason_and_line() {
    let csv = "\u{feff}First Name;E-mail\r\nAda; ADA@example.com \r\n\r\nAda;ada@example.com\r\n\
               Bob;nobody\r\nCid;\r\n;;\r\nDan;dan@example.com;more\r\n";
    let parsed = parsed(csv);
    let Counts { rows, duplicate, invalid_email, missing_email, invalid, .. } = parsed.counts;
    assert_eq!((rows, duplicate, invalid_email, missing_email, invalid), (5, 1, 1, 1, 1));
    assert_eq!(first(&parsed).email, "ADA@example.com");
    let lines: Vec<u64> = parsed.refused.iter().map(|row| row.line).collect();
    assert_eq!(lines, [4, 5, 6, 8]);
    assert!(parsed.refused[3].value.starts_with("3 cells where the header has 2"));
}

#[test]
fn a_file_that_is_no_table_of_contacts_says_what_is_wrong() {
    assert_eq!(
        refused("Name,Phone\nAda,1\n"),
        "no column holds email addresses; name one `Email` (found: Name, Phone)"
    );
    assert_eq!(
        refused("Email,Name,Email\na@b.example,A,c@d.example\n"),
        "the header `Email` stands twice, again in column 3; name each column once"
    );
    let wide = (0..500).map(|n| format!("c{n}")).collect::<Vec<_>>().join(",");
    assert!(
        refused(&format!("{wide}\n")).starts_with("the file has 500 columns; 200 are the most")
    );
    assert_eq!(
        refused("email,name\na@b.example,A\0B\n"),
        "line 2 can't be read as CSV: `name` holds a byte of zero; export the file as text"
    );
    let large = format!("email,name\na@b.example,\"{}\"\n", "x".repeat(70_000));
    assert_eq!(
        refused(&large),
        "line 2 can't be read as CSV: `name` holds 68 KiB; check the quotes around it"
    );
}

#[test]
fn a_mapping_goes_before_what_is_probable() {
    let mapping = |pairs: &[(&str, Option<&str>)]| {
        let owned =
            |(name, field): &(&str, Option<&str>)| ((*name).to_owned(), field.map(str::to_owned));
        pairs.iter().map(owned).collect::<BTreeMap<_, _>>()
    };
    let csv = b"Email,Alt,Role\na@b.example,c@d.example,CEO\n";
    let read = |pairs: &[(&str, Option<&str>)]| read(csv, &mapping(pairs), &[]);
    let alt = read(&[("Alt", Some("email")), ("Role", None)]).unwrap();
    assert_eq!((first(&alt).email.as_str(), &first(&alt).title), ("c@d.example", &None));
    let twice = read(&[("Alt", Some("email")), ("Email", Some("email"))]).unwrap_err().to_string();
    assert!(twice.contains("fills `email` as well"), "{twice}");
    let unknown = read(&[("Role", Some("custom.rank"))]).unwrap_err().to_string();
    assert!(
        unknown.starts_with("column `Role`: `custom.rank` is no field; there are: email"),
        "{unknown}"
    );
    let missing = read(&[("Rolle", Some("title"))]).unwrap_err().to_string();
    assert!(
        missing.contains("the file has no such column; there are: Email, Alt, Role"),
        "{missing}"
    );
}

#[test]
fn names_in_one_column_and_letters_of_an_old_export_are_read() {
    let old =
        read(b"name,email\nJos\xe9 Garc\xeda,jose@example.com\n", &BTreeMap::new(), &[]).unwrap();
    let contact = first(&old);
    assert_eq!((contact.first_name.as_str(), contact.last_name.as_str()), ("José", "García"));
}

#[test]
fn a_messy_export_is_counted_as_its_makers_counted_it() {
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/contacts");
    let Ok(bytes) = std::fs::read(folder.join("contacts.csv")) else {
        eprintln!("skipped: no shared contacts here");
        return;
    };
    let parsed = read(&bytes, &BTreeMap::new(), &[]).unwrap();
    let Counts { rows, duplicate, invalid_email, missing_email, invalid, .. } = parsed.counts;
    assert_eq!((rows, parsed.taken()), (1000, 957));
    assert_eq!((duplicate, invalid_email, missing_email, invalid), (19, 18, 6, 0));
}

#[test]
fn a_quote_that_is_never_closed_refuses_the_file_with_its_line() {
    let open = "the quote that opens in line 2 is never closed; close it, and write a quote within a cell twice";
    assert_eq!(refused("Email,Company\na@b.example,\"Acme\nc@d.example,Beta\n"), open);
    assert_eq!(refused("Email,Company\na@b.example,\"Acme\nc@d.example,\"Beta\"\n"), open);
    let whole = parsed("Email,Company\na@b.example,\"Acme\nand Sons\"\nc@d.example,Beta\n");
    assert_eq!((whole.taken(), whole.refused.len()), (2, 0));
}

#[test]
fn a_file_without_a_header_is_refused_with_its_line() {
    let told = "the first line is data, not a header (line 1); add a line above it that names the columns, such as `Email,First Name,Last Name`";
    assert_eq!(refused("ann@b.example,Ann\nbob@b.example,Bob\n"), told);
    assert!(refused("\n\nAnn <ann@b.example>;Ann\n").contains("not a header (line 3)"));
    assert!(refused("sep=;\nann@b.example;Ann\n").contains("not a header (line 2)"));
}

#[test]
fn a_column_about_the_seller_is_the_contacts_address_only_by_a_mapping() {
    for seller in [
        "Owner",
        "Sales rep",
        "Besitzer",
        "Zuständig",
        "Verantwortlich",
        "Propriétaire",
        "Vendedor",
    ] {
        let csv = format!("Name,{seller},Kontakt\nEva E,ann@us.example,eva@b.example\n");
        assert_eq!(first(&parsed(&csv)).email, "eva@b.example", "{seller}");
        let csv = format!("Name,{seller}\nEva E,ann@us.example\n");
        let told = refused(&csv);
        assert!(told.starts_with("no column holds the contacts' email addresses"), "{told}");
        assert!(told.contains(&format!("`{seller}` is about the seller")), "{told}");
        assert!(told.contains(&format!("--map \"{seller}=email\"")), "{told}");
        let mapping = BTreeMap::from([(seller.to_owned(), Some("email".to_owned()))]);
        let told = read(csv.as_bytes(), &mapping, &[]).unwrap();
        assert_eq!(first(&told).email, "ann@us.example", "{seller}");
    }
}

#[test]
fn several_columns_of_addresses_without_a_telling_header_are_refused_by_name() {
    let csv = "Name,Left,Right\nEva E,eva@b.example,uwe@c.example\n";
    let told = refused(csv);
    assert!(told.starts_with("the columns `Left`, `Right` hold email addresses"), "{told}");
    assert!(
        told.contains("{\"Left\": \"email\"}") && told.contains("--map \"Left=email\""),
        "{told}"
    );
    let read = |mapping: &[(&str, Option<&str>)]| {
        let owned =
            |(name, field): &(&str, Option<&str>)| ((*name).to_owned(), field.map(str::to_owned));
        let mapping: BTreeMap<_, _> = mapping.iter().map(owned).collect();
        first(&super::read(csv.as_bytes(), &mapping, &[]).unwrap()).email.clone()
    };
    assert_eq!(read(&[("Right", Some("email"))]), "uwe@c.example");
    assert_eq!(read(&[("Right", None)]), "eva@b.example", "what is left out is no candidate");
}

#[test]
fn of_several_address_columns_a_row_takes_the_first_that_has_one() {
    let csv = "Email - Home,Email - Work\nh@b.example,w@b.example\nh2@b.example,\nx@b.example,n/a\n,\nnobody,none\n";
    let told = parsed(csv);
    let emails: Vec<&str> =
        told.chunks[0].iter().map(|taken| taken.contact.email.as_str()).collect();
    assert_eq!(emails, ["w@b.example", "h2@b.example", "x@b.example"]);
    let told: Vec<(RowReason, &str)> =
        told.refused.iter().map(|row| (row.reason, row.value.as_str())).collect();
    assert_eq!(told, [(RowReason::InvalidEmail, "none")]);
}

#[test]
fn an_address_with_its_name_is_taken_apart() {
    let csv = "Email,First Name\nAnn van Lee <ann@müller.example>,\n\"\"\"Lee, Bob\"\" <bob@b.example>\",Robert\n";
    let told = parsed(csv);
    let contact = first(&told);
    assert_eq!(contact.email, "ann@xn--mller-kva.example");
    assert_eq!((contact.first_name.as_str(), contact.last_name.as_str()), ("Ann", "van Lee"));
    let bob = &told.chunks[0][1].contact;
    assert_eq!((bob.email.as_str(), bob.first_name.as_str()), ("bob@b.example", "Robert"));
    assert_eq!(bob.last_name, "", "a name that is there stays");
    let several = parsed(
        "Email\n\"a@b.example, b@b.example\"\nc@b.example ::: d@b.example\n\"e@b.example; nobody\"\n",
    );
    let emails: Vec<&str> =
        several.chunks[0].iter().map(|taken| taken.contact.email.as_str()).collect();
    assert_eq!((emails, several.counts.invalid_email), (vec!["a@b.example", "c@b.example"], 1));
}

#[test]
fn two_spellings_of_a_domain_are_one_address() {
    let told = parsed("Email\na@müller.example\nA@xn--mller-kva.example\na@MÜLLER.example\n");
    assert_eq!((told.taken(), told.counts.duplicate), (1, 2));
    let told = parsed("Email\na@[127.0.0.1]\n\"\"\"x y\"\"@b.example\"\nok@b.example\n");
    assert_eq!((told.taken(), told.counts.invalid_email), (1, 2));
}

#[test]
fn notes_before_the_header_and_a_line_of_excels_are_passed_over() {
    let told =
        parsed("Notes:\n\"Some, perhaps\"\n\nFirst Name,Email\nAda,ada@b.example\n,nobody\n");
    assert_eq!((told.taken(), told.refused[0].line), (1, 6));
    assert_eq!(first(&told).first_name, "Ada");
    let told = parsed("sep=;\r\nVorname;E-Mail\r\nAda;ada@b.example\r\nBo;bo\r\n");
    assert_eq!((told.taken(), told.refused[0].line), (1, 4));
    let told = parsed("Wer;Was\nAda;ada@b.example\n");
    assert_eq!(
        told.columns[0].header, "Wer",
        "a header whose words nobody knows is one all the same"
    );
}

#[test]
fn tags_are_parted_as_their_product_parts_them() {
    let tags = |cell: &str| super::tags(cell, false);
    assert_eq!(tags("a; b|a"), ["a", "b"]);
    assert_eq!(tags("\"vip\",\"newsletter\""), ["vip", "newsletter"]);
    assert_eq!(tags("* myContacts ::: Navy"), ["Navy"]);
    assert_eq!(tags("Hot lead, Customer"), ["Hot lead", "Customer"]);
    assert_eq!(super::tags("Graz, AT; b", true), ["Graz, AT", "b"]);
    assert_eq!(super::tags("Graz, AT", true), ["Graz, AT"], "our exports part by `;` alone");
}

#[test]
fn a_refused_row_of_somebody_who_wants_no_mail_counts_all_the_same() {
    let csv = "Email,First Name,Unsubscribed\ndup@b.example,A,no\ndup@b.example,A,yes\n\
               late@b.example,B,2024-01-02\nodd@b.example,C,yes,more,cells\nx,D,yes\n";
    let told = parsed(csv);
    let opted_out: Vec<&str> = told.opted_out.iter().map(|(email, _)| email.as_str()).collect();
    assert_eq!(opted_out, ["dup@b.example", "odd@b.example"]);
    let says: Vec<Option<Reason>> = told.chunks[0].iter().map(|taken| taken.says).collect();
    assert_eq!(says, [None, Some(Reason::Unsubscribed)], "a day says so, too");
}

#[test]
fn a_row_of_somebody_who_wants_no_mail_says_so() {
    let csv = "Email,Email Opt Out,Status\na@b.example,true,\nb@b.example,0,Open\nc@b.example,,cleaned\nd@b.example,no,Subscribed\n";
    let told = parsed(csv);
    let says: Vec<Option<Reason>> = told.chunks[0].iter().map(|taken| taken.says).collect();
    assert_eq!(says, [Some(Reason::Unsubscribed), None, Some(Reason::Bounced), None]);
    assert_eq!(told.unsubscribed, 2);
    assert!(
        told.columns[1..]
            .iter()
            .all(|column| column.target == Some(Target::Own(Own::Unsubscribed)))
    );
}

#[test]
fn the_guard_of_an_export_is_taken_off() {
    for (cell, bare) in [
        ("'=1+1", "=1+1"),
        ("'+43 1", "+43 1"),
        ("'-x", "-x"),
        ("'@a", "@a"),
        ("''=1", "'=1"),
        ("'t Hooft", "'t Hooft"),
        ("O'Neill", "O'Neill"),
        ("'", "'"),
    ] {
        assert_eq!(table::unguarded(cell), bare);
    }
}

#[test]
fn exports_of_other_products_come_out_as_their_makers_say() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/imports");
    let Ok(expected) = std::fs::read(folder.join("expected.json")) else {
        eprintln!("skipped: no shared exports here");
        return;
    };
    let expected: Map<String, Value> = serde_json::from_slice(&expected).unwrap();
    for (file, expected) in expected {
        let told = read(&std::fs::read(folder.join(&file)).unwrap(), &BTreeMap::new(), &[]);
        if let Some(whole) = expected.get("refused_as_a_whole") {
            let told = told.unwrap_err().to_string();
            assert!(told.contains(whole.as_str().unwrap()), "{file}: {told}");
            continue;
        }
        let told = told.unwrap_or_else(|error| panic!("{file}: {error}"));
        let taken: Vec<&Taken> = told.chunks.iter().flatten().collect();
        let wanted = expected["contacts"].as_array().unwrap();
        assert_eq!(taken.len(), wanted.len(), "{file}");
        for (taken, wanted) in taken.iter().zip(wanted) {
            let contact = serde_json::to_value(&taken.contact).unwrap();
            for (field, wanted) in wanted.as_object().unwrap() {
                match field.as_str() {
                    "status" => assert_eq!(taken.says, Some(Reason::Unsubscribed), "{file}"),
                    // Its code and its name are one country.
                    "country" => {
                        let told = contact[field].as_str().unwrap();
                        let wanted = wanted.as_str().unwrap();
                        let zone = Zone::of_country(wanted);
                        let same = zone.is_some() && Zone::of_country(told) == zone;
                        assert!(told == wanted || same, "{file}: {contact}");
                    }
                    _other => assert_eq!(contact[field], *wanted, "{file}: {field} of {contact}"),
                }
            }
        }
        let missing = expected["refused"]["missing_email"].as_u64().unwrap_or_default();
        assert_eq!(told.counts.missing_email, missing, "{file}");
        assert_eq!(told.refused.len() as u64, missing, "{file}");
    }
}

#[test]
fn a_title_above_the_header_is_passed_over_also_where_it_names_a_field() {
    for title in ["Contacts export 2026,,", "Email list,,", "Contact,,", "Email,,", "\"My, list\""]
    {
        let told = parsed(&format!(
            "{title}\r\n\r\nFirst Name,Email,Company\r\nAda,ada@b.example,Acme\r\nBo,bo,Acme\r\n"
        ));
        assert_eq!((told.taken(), told.refused[0].line), (1, 5), "{title}");
        let contact = first(&told);
        let found = (contact.email.as_str(), contact.first_name.as_str(), &contact.company);
        assert_eq!(found, ("ada@b.example", "Ada", &Some("Acme".into())), "{title}");
    }
    let mapping = BTreeMap::from([("Anrede\u{a0}2".to_owned(), Some("last_name".to_owned()))]);
    let csv = "Email,,\nKontaktfeld,Anrede\u{a0}2,Wo\nada@b.example,Lee,Graz\n";
    let told = read(csv.as_bytes(), &mapping, &[]).unwrap();
    let contact = first(&told);
    assert_eq!((contact.email.as_str(), contact.last_name.as_str()), ("ada@b.example", "Lee"));
}

#[test]
fn a_file_whose_first_row_is_a_contact_without_an_address_is_refused_with_its_line() {
    let told = "the first line is data, not a header (line 1)";
    for csv in [
        "Ada Lovelace,+43 1 2345678,\nBob Moe,+43 1 2345679,bob@b.example\n",
        "Ada Lovelace;+43 1 2345678\nBob Moe;+43 1 2345679\n",
        "Ada,Lovelace,\nBob,Moe,bob@b.example\n",
        "Ada,Lovelace,n/a\nBob,Moe,bob@b.example\n",
    ] {
        assert!(refused(csv).starts_with(told), "{csv}");
    }
}

#[test]
fn a_country_becomes_its_code_and_what_is_none_stays() {
    let csv = "Email,Country\na@b.example,Germany\nb@b.example,Deutschland\nc@b.example,USA\nd@b.example,uk\n\
               e@b.example,Atlantis\nf@b.example,\n";
    let told = parsed(csv);
    let countries: Vec<Option<&str>> =
        told.chunks[0].iter().map(|taken| taken.contact.country.as_deref()).collect();
    assert_eq!(countries, [Some("DE"), Some("DE"), Some("US"), Some("GB"), Some("Atlantis"), None]);
}

#[test]
fn letters_that_nobody_sees_are_left_out_of_headers_and_cells() {
    let csv = "\u{feff}\u{feff}\"E\u{200b}mail\"\t\"First\u{a0}Name\"\tLast Name\u{200e}\n\
               \u{202a}a\u{200b}da@b.example\u{202c}\tAda\u{a0}Maria\t\u{feff}Love\u{ad}lace\n\u{a0}\t\u{200b}\t\u{feff}\n";
    let told = parsed(csv);
    let contact = first(&told);
    assert_eq!((told.counts.rows, contact.email.as_str()), (1, "ada@b.example"));
    assert_eq!(
        (contact.first_name.as_str(), contact.last_name.as_str()),
        ("Ada Maria", "Lovelace")
    );
    assert_eq!(told.columns[1].header, "First Name");
    let mapping = BTreeMap::from([("First\u{a0}Name".to_owned(), None)]);
    let told = read(csv.as_bytes(), &mapping, &[]).unwrap();
    assert_eq!(first(&told).first_name, "");
}

#[test]
fn a_row_with_letters_that_were_lost_is_refused_and_the_others_are_taken() {
    let csv = "Email,First Name,Note\na@b.example,JosÃ©,x\nb@b.example,Jos\u{fffd},x\nc@b.example,José,Jos\u{fffd}\n\
               d@b.example,ÂNGELO DA CONCEIÇÃO,x\n";
    let told = parsed(csv);
    assert_eq!((told.taken(), told.counts.invalid), (2, 2));
    let told = &told.refused[0];
    assert_eq!(
        (told.line, told.value.as_str()),
        (2, "`JosÃ©` has letters that were lost or misread; export the file again as CSV UTF-8")
    );
}

#[test]
fn a_total_below_the_rows_and_a_second_header_are_refused_as_rows() {
    let csv = "Name,Email\nAda,ada@b.example\nName,Email\nBo,bo@b.example\nTotal,2\nTotal: 2,\n";
    let told = parsed(csv);
    let lines: Vec<(u64, RowReason)> =
        told.refused.iter().map(|row| (row.line, row.reason)).collect();
    let (invalid, missing) = (RowReason::InvalidEmail, RowReason::MissingEmail);
    assert_eq!((told.taken(), lines), (2, vec![(3, invalid), (5, invalid), (6, missing)]));
}

#[test]
fn a_long_cell_is_told_by_its_beginning_and_a_long_header_refuses_the_file() {
    let told = parsed(&format!("Email\n{}\nada@b.example\n", "x@".repeat(20_000)));
    assert_eq!((told.taken(), told.refused[0].value.chars().count()), (1, LONGEST + 1));
    assert_eq!(
        refused(&format!("Email,\"{}\"\nada@b.example,1\n", "x".repeat(9_000))),
        "line 1 can't be read as CSV: column 2 holds 8 KiB; check the quotes around it"
    );
}

#[test]
fn a_file_of_dos_or_of_an_old_mac_is_refused_and_one_of_an_old_mac_in_ascii_is_read() {
    let read = |bytes: &[u8]| read(bytes, &BTreeMap::new(), &[]);
    let files: [&[u8]; 2] = [
        b"Email,First Name\r\nada@b.example,Jos\x82\r\n",
        b"Email,First Name\rada@b.example,Jos\x8e\r",
    ];
    for csv in files {
        let told = read(csv).unwrap_err().to_string();
        assert!(
            told.starts_with("line 2 can't be read as CSV")
                && told.contains("save the file as CSV UTF-8"),
            "{told}"
        );
    }
    let told = read(b"sep=;\rEmail;First Name\rada@b.example;Ada\rbo;Bo\r\x1a").unwrap();
    assert_eq!((told.taken(), told.refused[0].line), (1, 4));
}
