"""Identifiers as people write them into notes, and sentences that hold none and must come back as they are."""

from medmm.privacy.known import KnownValues

PERSON = KnownValues(
    names=("Müller-Lüdenscheid^Anna^Maria^Dr", "Whitfield^Jonas"),
    identifiers=("0001234", "MRN-77-4411-9", "A4471188"),
    birth_dates=("1950-03-14",),
    addresses=("Lindenallee 12, 69120 Heidelberg",),
    phones=("+49 6221 567890",),
)

OWN: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Patient Anna Müller-Lüdenscheid was seen.", ("müller", "lüdenscheid", "anna")),
    ("Patient MUELLER, ANNA seen.", ("mueller", "anna")),
    ("Frau Mueller-Luedenscheid kam.", ("mueller", "luedenscheid")),
    ("Muller Anna seen.", ("muller", "anna")),
    ("Seen by A. Müller today.", ("müller", "a. m")),
    ("Müller, A. was seen.", ("müller", "a.")),
    ("Notes of A.M. Mueller follow.", ("mueller", "a.m")),
    ("A.M.M. slept well.", ("a.m",)),
    ("Müller's cough persists.", ("müller",)),
    ("Mullers cough persists.", ("muller",)),
    ("Mueler reports cough.", ("mueler",)),
    ("anna is well.", ("anna",)),
    ("The patient annamueller called.", ("annamueller",)),
    ("See anna_mueller2 please.", ("anna", "mueller")),
    ("M u e l l e r reports cough.", ("m u e l",)),
    ("M.U.E.L.L.E.R reports cough.", ("m.u.e",)),
    ("Cough in Lüden-\nscheid today.", ("lüden", "scheid")),
    ("Cough in Lu\u0308denscheid today.", ("denscheid",)),
    ("Mül\u200bler seen.", ("mül", "ler seen")),
    ("\uff21\uff4e\uff4e\uff41 seen.", ("\uff4e",)),
    ("Dr. Jonas Whitfield agrees.", ("jonas", "whitfield")),
    ("ID 0001234 noted.", ("1234",)),
    ("id 000-1234.", ("1234",)),
    ("Number 1234 noted.", ("1234",)),
    ("MRN77 4411 9 noted.", ("4411",)),
    ("Old number 774411-9.", ("4411",)),
    ("Film a4471188 compared.", ("4471188",)),
    ("Film A 447 1188 compared.", ("447 1188",)),
    ("born 1950-03-14", ("1950", "03-14")),
    ("born 14.3.50", ("14.3",)),
    ("DOB: 3/14/1950", ("3/14",)),
    ("born on March 14th, 1950", ("march", "1950")),
    ("geboren am 14. März 1950", ("märz", "1950")),
    ("14031950 birth", ("14031950",)),
    ("birth 19500314", ("19500314",)),
    ("14-MAR-1950 on the label", ("mar", "1950")),
    ("born in 1950", ("1950",)),
    ("born 14 March", ("14 march",)),
    ("lives at Lindenallee 12", ("lindenallee",)),
    ("LINDENALLEE 12, heidelberg", ("lindenallee", "heidelberg")),
    ("lives in Heidelberg", ("heidelberg",)),
    ("near 69120 there", ("69120",)),
    ("call 06221567890", ("567890",)),
    ("call 06221/56 78 90", ("56 78",)),
    ("reached 0049-6221-567890", ("567890",)),
    ("reached (6221) 567-890", ("567-890",)),
)
"""A note with what is known of `PERSON` -> what must not be left, in lower case."""

ANYBODY: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("SSN 123-45-6789.", ("6789",)),
    ("Phone (555) 123-4567.", ("4567",)),
    ("call 555-123-4567 ext 12", ("4567", "ext 12")),
    ("mobile +44 20 7946 0958", ("0958", "7946")),
    ("fax: 5551234567", ("5551234567",)),
    ("Email: j_doe99@mail.example.com", ("doe", "example")),
    ("reach karl (at) example (dot) org", ("karl", "example")),
    ("Dr. Foley examined.", ("foley",)),
    ("Mr. Parkinson was seen by Dr Crohn.", ("parkinson", "crohn")),
    ("mr. greenhalgh slept", ("greenhalgh",)),
    ("Her daughter Karla was present.", ("karla",)),
    ("wife, Petronella, says", ("petronella",)),
    ("mother Mrs. J. van der Berg", ("berg", "j.")),
    ("Signed by: Tobin Harkness, MD", ("tobin", "harkness")),
    ("Dictated by T. Harkness", ("harkness",)),
    ("Tobin Harkness, RN", ("tobin", "harkness")),
    ("patient Quenneville slept", ("quenneville",)),
    ("name: john smith", ("john", "smith")),
    ("Patient name: Kevin O'Brien", ("kevin", "brien")),
    ("Paul Smith came alone.", ("paul", "smith")),
    ("Dear Dr. Harkness,", ("harkness",)),
    ("referred by Dr. med. Konrad Zuse", ("zuse", "konrad")),
    ("She lives in Springfield, IL 62704.", ("springfield", "62704")),
    ("resident of Tuttlingen", ("tuttlingen",)),
    ("transferred from St. Mary's Hospital", ("mary",)),
    ("123 Maple Street", ("maple",)),
    ("4 Old Oak Rd.", ("oak",)),
    ("Hauptstraße 7, 12345 Musterstadt", ("haupt", "12345", "muster")),
    ("P.O. Box 1234", ("1234",)),
    ("zip 69121", ("69121",)),
    ("MRN: 4455667", ("4455667",)),
    ("medical record number 445566", ("445566",)),
    ("account no. 99-1234", ("1234",)),
    ("Policy number: XK-22-981", ("981",)),
    ("health plan 77812-AA", ("77812",)),
    ("Medicare 1EG4-TE5-MK73", ("te5",)),
    ("license number D1234567", ("1234567",)),
    ("driver's license D123-4567-89", ("4567",)),
    ("vehicle plate HD-AB 1234", ("1234",)),
    ("VIN 1HGCM82633A004352", ("004352",)),
    ("serial number SN-99887-X", ("99887",)),
    ("pacemaker serial no: AB12345", ("12345",)),
    ("device lot 22-8817", ("8817",)),
    ("visit https://example.org/p/123", ("example",)),
    ("see www.example.org", ("example",)),
    ("from 192.168.10.14", ("192.168",)),
    ("from 2001:db8:0:1:1:1:1:1", ("db8",)),
    ("passport C01X00T47", ("c01x",)),
    ("IBAN DE89 3704 0044 0532 0130 00", ("3704",)),
    ("study 1.2.826.0.1.3680043.8.498.647", ("3680043",)),
    ("@anna_m wrote", ("@anna",)),
    ("93 year old woman", ("93",)),
    ("a 101-year-old man", ("101",)),
    ("aged 94", ("94",)),
    ("ninety-four-year-old", ("ninety",)),
)
"""A note with an identifier of somebody -> what must not be left, in lower case."""

CLINICAL = """Known Parkinson's disease, on levodopa.
Crohn's disease with fistula; Hodgkin lymphoma in remission.
Foley catheter in situ, draining clear urine.
Patient with Parkinson's and Alzheimer's dementia.
History: 72 year old man. Reports rigors with productive cough for 4 days.
BP 120/80, HR 92, RR 18, SpO2 97 % on room air, T 38.2.
Blood pressure 135/85 mmHg, pulse 88/min.
Glasgow Coma Scale 15/15. Wells score 4.5.
CRP 153.1 mg/L, WBC 12000/ul, platelets 250000/ul.
Murphy's sign negative, McBurney point tender.
Kerley B lines and Hampton hump.
CT showed a 12 x 8 mm nodule in the right upper lobe.
Given 500 mg amoxicillin 3 times daily for 7 days.
ECOG 1, NYHA III, Child-Pugh B, Gleason 3+4=7.
Cushing syndrome; Addison's disease; Graves' disease.
L4/5 disc prolapse, T12 fracture.
EF 55-60 %, E/A ratio 1.2.
Hb 13.2 g/dL, Na 140, K 4.1.
No pleural effusion. No pneumothorax.
Medication: ramipril 5 mg, metformin 1000 mg.
Request: Please assess.
Cheyne-Stokes respiration, Kussmaul breathing.
Guillain-Barré syndrome two years ago.
ETT tip above the carina. NGT in situ.
Mild tachycardia, skin warm and dry.
Pain 7/10, power 4/5 in the left arm.
Sjögren's syndrome and Raynaud's phenomenon.
Took 2 tablets at 8 am and 10 pm.
Patient may start 5 mg on discharge.
Swan-Ganz catheter, Hickman line and Tenckhoff catheter.
Ziehl-Neelsen stain negative; Gram stain positive.
Patient: 54-year-old woman with COPD.
Ewing sarcoma of the left femur.
The patient was seen in the clinic and discharged home.
Temperature 38.5 °C, 3 m² body surface, 5 µmol/L.
Fasting glucose 5.4 mmol/L; HbA1c 6.1 %.
The patient lives alone at home and comes from work.
Referred for suspected pneumonia.
Admitted to ICU with necrotizing fasciitis.
von Willebrand disease, Down syndrome.
Bence Jones protein in urine. Whipple procedure.
Wolff-Parkinson-White syndrome.
Non-Hodgkin lymphoma, stage IV.
pH 7.32, pCO2 48, lactate 2.1.
S1 S2 normal, grade 2/6 systolic murmur.""".splitlines()
"""No identifier in any."""
