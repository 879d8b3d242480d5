"""Words in the names of columns, English and German, by what such a column holds; in plain letters and lower case."""

from medmm.privacy.vocabulary import word_set

PATIENTS = (
    "patientid",
    "pid",
    "subjectid",
    "personid",
    "patientidentifier",
    "patientnumber",
    "patientennummer",
    "patientenid",
    "patid",
    "patient",
    "subject",
    "medicalrecordnumber",
    "mrn",
)
"""Names of the column that says whose a row is, the likeliest first; without separators, in lower case."""

NAMES = word_set(
    """name names surname forename firstname lastname fullname maiden vorname nachname familienname mother father spouse
    guardian nextofkin physician doctor surgeon radiologist referrer referring reader operator reporter author signed
    signature dictated technologist nurse attending consultant requester performer performed employer contact initials
    alias username user"""
)
NAMED = word_set(
    """drug test analyte code lab column medication procedure diagnosis variable unit series protocol study body part class
    display site device model manufacturer organism file path image table item event concept"""
)
"""Before "name" they say that it is a thing's."""

ADDRESSES = word_set("address street strasse city town county village suburb ort wohnort anschrift adresse residence home")
PHONES = word_set("phone telephone telefon tel mobile cell handy fax pager")
CONTACTS = word_set("email mail url website web ip mac hostname host facebook twitter")
NUMBERS = word_set(
    """ssn insurance insured policy account acct licence license passport plate vehicle vin serial certificate beneficiary
    medicare medicaid tax iban biometric fingerprint photo npi dea"""
)
IDENTIFIERS = word_set("id ids identifier accession mrn uid uuid guid key nummer")
BIRTHS = word_set("birth birthdate birthday dob born geburt geburtsdatum geburtstag geboren")
DATES = word_set(
    """date dates datum datetime time timestamp day recorded issued onset death died dod admission discharge admitted
    discharged visit start end begin year month collected performed authored zeitpunkt zeit"""
)
ZIPS, OTHER_ZIPS = frozenset(("zip", "zipcode")), frozenset(("postal", "postcode", "postalcode", "plz", "postleitzahl"))
AGES = frozenset(("age", "ages", "alter", "aged"))
NOTES = word_set(
    """text note notes report reports finding findings impression comment comments history narrative remark remarks
    description summary conclusion indication free freetext anamnesis anamnese befund beurteilung letter request reason"""
)
CATEGORIES = word_set(
    """sex gender site diagnosis code unit units modality view kind type status value category class label outcome
    laterality race ethnicity result grade stage system severity medication drug drugs icd snomed loinc test analyte
    series sequence protocol part manufacturer model scanner finding split group arm ward department absent broken
    survival laboratory labs measurement state country marker layout token field variable column smoking license licence
    body position projection views"""
)
