"""Words of clinical notes and tables that are nobody's name: what begins with a capital letter and is none of them may be one.

Common words of English and German notes, collected by hand; none was taken from a patient's record.
"""

ORDINARY = """
    a about above absence absent accepted access according accompanied account across active activity actual acute added
    addition additional address adequate adjacent administered admission admit admits admitted adult advice advised
    affected after afternoon again against age aged ago agree ahead aid alcohol alert alive all allergic allergies allergy
    allowed almost alone along already also although always am ambulance ambulant ambulating amount an and another answer
    any anything apart apparent appear appearance appears appetite applied appointment approach appropriate approx
    approximately are area areas arm arms around arranged arrival arrived as ascending ask asked aspect assess assessed
    assessment assist assistance associated at ate attempt attempted attend attendance attended attending aware away awake
    axial baby back background bad balance base based baseline be became because become bed been before began begin begins
    behaviour behavior being below beneath benefit beside best better between beyond big bilateral bilaterally birth bit
    black blood blue body bones borderline born borrowed both bottom bowel bowels boy brain breast breath breathing
    breathless brief bring broad brother brought brown build built burning but by call called calm came can cannot cap
    care carefully carer carers case cases catheter cause caused causes cell cells centre center central certain chair
    chance change changed changes changing chart check checked chest child childhood children chills chronic class clean
    clear clearly clinic clinical clinically clinician close closed coarse cold coloured colour color come comes
    comfortable comment comments common community compare compared comparison complaint complaints complained complaining
    complains complete completed complex comply concern concerned concerns concluded conclusion condition conditions
    confirmed confused connected conscious consent consider considered consistent constant consultant consultation
    consulted contact continue continued continues continuing contour contrast control controlled cool cooperative copy
    correct cough coughing could counselled count course cover covered critical current currently daily damage dark data
    date dated daughter day days dead dear death decline declined decrease decreased deep definite degree deleted delayed
    demonstrate demonstrated demonstrates denied denies deny dental department depth describe described describes despite
    detail details detected detection determined develop developed developing device diabetes diabetic diagnosed diagnosis
    diagnoses diagnostic diameter diary did died diet difference different difficult difficulty diffuse dilated diminished
    direct disability discharge discharged discomfort discrete discuss discussed discussion disease diseases disorder
    distal distance distended distress disturbance dizziness dizzy do doctor does done dosage dose doses double down drain
    drained drains drank dressing drink drinking drinks drive drop dropped drug drugs dry due during duration each ear
    earlier early ears ease eat eating education effect effective effects effort effusion effusions eight eighteen either
    elderly elective electronic elevated elevation else emergency employed empty end ended endings engaged enlarged
    enlargement enough ensure entire entry episode episodes equal equipment eruption especially essential established
    estimated etc even evening event events ever every everything evidence exact exam examination examined examine except
    excess excluded exercise exertion exist expected experienced experiences explained explain exposed exposure extend
    extends extensive extent external extra extreme eye eyes face facial fact factor factors failed failure fair fairly
    fall fallen falls family fast fasting father fatigue features feed feeding feel feeling feels feet fell felt female
    fever fevers few field fifteen fifth fifty film films final finally find finding findings fine finger fingers finish
    firm first fit five fixed flat floor flow fluctuating fluid fluids focal focus follow followed following follows food
    foot for force foreign form formal former forty forward found four fourth fracture fractures free frequency frequent
    frequently fresh friend from front full fully function functional further future gain gait gave general generalised
    generalized generally gently get gets girl give given gives giving go goes going gone good gradual gradually
    granddaughter grandfather grandmother grandson great greater green grew gross ground group grow growth guided had half
    hand hands happy hard has have having he head headache headaches heal healed healing health healthy hear heard hearing
    heart heat heavy heel height held help helped her here hers herself high higher highly him himself hip his history hit
    hold home hope hospital hot hour hours house how however human hundred husband i idea ideal identified identify if ill
    illness image images imaging immediate immediately immune impaired impairment important impression improve improved
    improvement improving in incidental incision include included includes including increase increased increases
    increasing indicate indicated indicates indication indications individual infant infected infection infections
    infectious inferior inflammation inflammatory info information infusion inhaled initial initially injected injection
    injuries injury inner inpatient insertion inside inspection instead instructed instructions insufficiency intact
    intake intense intermittent internal interval intervention into intravenous investigation investigations involve
    involved involving irregular is isolated issue issues it items its itself job joint joints journey just keep keeping
    kept kind kg knee knees knew know known lab laboratory labs lack lady large larger largely last lasted late later
    lateral latest lay lead leads learn least leave left leg legs less lesion lesions let letter level levels lie lies
    life lift light like likely limb limbs limit limited line linear lines list listed little live lived lives living
    local localised localized located location long longer look looked looking looks loose lose loss lost lot low lower
    lungs lung lying made main mainly maintained major make makes making male man manage managed management manner many
    mark marked markedly marker marks mass masses massive maternal matter maximum may me meal mean means measure measured
    measures measurement measurements mechanical medical medication medications medicine medicines medium member memory
    men mental mention mentioned met method middle might mild mildly mind minimal minimally minor minute minutes missed
    missing mixed mm mobile mobility moderate moderately moderates moment monitor monitored monitoring month monthly
    months mood more morning most mostly mother motion motor mouth move moved movement movements moving much multiple
    muscle muscles must my name namely narrow natural nature near nearly neck need needed needs negative nerve nervous
    neurologic neurological never new newly next night nights nil nine no nobody nocturnal nodal node nodes nodule nodules
    noise none nonspecific nor normal normally nose not note noted notes nothing notice noticed notify now number numbers
    numbness numerous nurse nursing object objective observation observations observed obtained obvious occasional
    occasionally occur occurred occurs of off offered office often oil old older on once one ongoing only onset onto open
    opened operated operation operations operative opinion option options or oral order orders ordered organ orientated
    oriented other others otherwise our out outcome outer outpatient output outside over overall overlie overnight own
    pack page pain painful painless pains pair pale palpable palpation part partial partially partner parts passed past
    patchy paternal path patient patients pattern pending people per perform performed performing perhaps period periods
    peripheral peripherally permanent persist persisted persistent persists person personal phase phone photo physical
    physician pink place placed placement places plan planned plans plate please plus point points poor poorly portable
    portion position positioned positive possible possibly post posterior potential power practice pre precautions
    predominance predominantly pregnancy pregnant prep preparation prescribed presence present presentation presented
    presenting presents pressure pressures presumed prevent previous previously primary principal prior private probable
    probably problem problems procedure procedures process produced productive profile progress progressed progressing
    progression progressive prominent proper prone protein proven provide provided provider proximal pulse pulses pupils
    purpose put quality quantity question questions quick quickly quiet quite quote radiating radiation radiologist raised
    ran range rapid rapidly rare rash rate rates rather raw reach reached reaction reactive read reading ready real really
    reason reasons receive received receiving recent recently recheck recognised recognized recommend recommendation
    recommendations recommended record records recovered recovery recurrence recurrent red reduce reduced reduction refer
    reference referral referred refers regarding region regional regular regularly rehabilitation related relation
    relative relatively release relevant relief relieved remain remained remaining remains remarkable remember removal
    removed renal repeat repeated replaced report reported reports request requested requests require required requires
    research resident residual resolved resolution respectively response responsive rest resting restricted result
    resulting results resume retired return returned returning reveal revealed reveals review reviewed right rigid rise
    rising risk role room round routine rule run runs safe said same sample samples satisfactory saturation saw say says
    scale scan scanned scans scar scattered scheduled school score screen screening sea season second secondary section
    see seek seem seemed seems seen segment segmental selected self semi send sensation sense sensitive sent separate
    series serious service session set settled seven several severe severely severity shadow shadowing shadows shape
    shaped sharp she shift short shortly shortness should show showed showing shown shows sick side sides sign signed
    significance significant significantly signs similar simple since single sister sit site sites sitting situ situation
    six sixteen sixty size sized skin sleep sleeping slept slight slightly slow slower slowly small smaller smear smoke
    smoked smoker smokes smoking smooth so social soft solid some someone something sometimes son soon sore sound sounds
    source space speak speaking special specialist specific specimen speech spent spontaneous spontaneously spot spots
    spouse spread stable staff stage stages stairs stand standard standing start started starting starts state stated
    states station status stay stayed steady step steps still stop stopped straight strain strength stress strong strongly
    structure structures study studies style subject subsequent subsequently subtle successful successfully such sudden
    suddenly suffered suffering suffers sufficient suggest suggested suggesting suggestive suggests suitable summary
    superior supine supplement supplements support supported supportive suppose sure surface surgeon surgery surgical
    surrounding suspect suspected suspicion suspicious sustained swab sweating sweats swelling swollen symmetric
    symmetrical symptom symptomatic symptoms syndrome system systemic systems table tablet tablets take taken takes taking
    talk talks target task team teeth telephone tell temperature temporarily temporary ten tender tenderness tends term
    terms test tested testing tests than thank thanks that the their them then therapies therapy there therefore these
    they thick thickened thickening thickness thin thing things think third thirteen thirty this those though thought
    three through throughout thus tight time times tip tired tissue tissues to today toe toes together told tolerated
    tomorrow tone tongue tonight too took top total touch toward towards trace track trauma traumatic travel travelled
    traveled treat treated treating treatment treatments trial tried triggered trip true try tube tubes turn turned twelve
    twenty twice twins two type types typical unable unaware uncertain unchanged unclear uncle uncomplicated under
    underlying undergo undergoing undergone underwent understood uneven uneventful unexplained uniform unilateral unit
    units unknown unless unlikely unremarkable unsteady until unusual unwell up update upon upper upright urgent urgently
    usage use used useful uses using usual usually value values variable variation various vary verified very via view
    viewed views visible vision visit visited visits visual vital vitals volume vomited vomiting waiting wake walk walked
    walking wall want wanted ward warm was wash washed waste watch water wave way we weak weakness wear week weekly weeks
    weigh weighed weight well went were wet what wheeze wheezing wheezy when where whether which while white who whole
    whom whose why wide widely widened widespread wife will wish with withdrawn within without woke woman women won work
    worker working works world worse worsen worsened worsening worst would wound wounds written wrong year years yellow
    yes yesterday yet you young younger your zone zones monday tuesday wednesday thursday friday saturday sunday january
    february march april june july august september october november december winter summer autumn spring english german
    french spanish italian american european african asian caucasian hispanic christmas easter latin greek
"""

CLINICAL = """
    abdomen abdominal abducens ablation abnormal abnormalities abnormality abortion abscess abscesses acetaminophen acid
    acidosis acinar acromegaly acuity adenocarcinoma adenoma adenopathy adhesions adrenal adrenaline aerobic aeration
    aetiology agitated agitation albumin albuterol aldosterone alkaline allopurinol alopecia alveolar alzheimers
    amiodarone amitriptyline amlodipine ammonia amoxicillin ampicillin amputation amyloid anaemia anaesthesia anaphylaxis
    anastomosis anemia anesthesia aneurysm aneurysmal angina angiogram angiography angioplasty ankle anorexia antacid
    anterior anteriorly anti antibiotic antibiotics antibody antibodies anticoagulant anticoagulated anticoagulation
    antigen anuria anus anxiety anxious aorta aortic apex aphasia apical apices apixaban apnea apnoea appendectomy
    appendicitis appendix arrhythmia arterial arteries artery arthralgia arthritis arthroplasty artifact ascites
    aspiration aspirin asthma asthmatic ataxia atelectasis atelectatic atenolol atherosclerosis atherosclerotic
    atorvastatin atrial atrium atrophy atypical auscultation autoimmune avascular axilla axillary azithromycin azygos
    bacilli bacteraemia bacteria bacterial barium basal bases basilar bibasal bicarbonate biliary bilirubin biopsy
    biopsied bisoprolol bladder bleed bleeding blunting bony bowel bradycardia bradycardic breaths bronchial
    bronchiectasis bronchitis bronchodilator bronchogram bronchograms bronchopneumonia bronchoscopy bronchus bruising
    bruit bullae bypass cachectic calcification calcifications calcified calcium calf cancer candesartan candida cannula
    capillary capsule captopril carbon carcinoma cardiac cardiologist cardiology cardiomediastinal cardiomegaly
    cardiomyopathy cardiothoracic cardiovascular carina carotid cartilage cataract cavitation cavity cefazolin cefepime
    ceftriaxone cefuroxime celiac cellulitis cephalad cerebellar cerebral cerebrovascular cervical cervix cesarean
    chemotherapy chlamydia cholangitis cholecystectomy cholecystitis cholelithiasis cholesterol ciprofloxacin circulation
    cirrhosis citalopram clarithromycin claudication clavicle clip clips clopidogrel clot clots clubbing coagulation
    coalescent codeine cognition cognitive colectomy colic colitis colon colonic colonoscopy coma compression computed
    computerised confluent congenital congested congestion congestive conjunctivitis consciousness consolidation
    consolidations constipation constipated contracture convulsion copd cor coronal coronary coronavirus corpus cortical
    corticosteroid corticosteroids costal costophrenic covid crackles cramps cranial craniotomy creatinine crepitations
    crisis cuff culture cultures cutaneous cyanosis cyanotic cycle cyst cystic cystitis cysts cytology debridement
    deceased deficit deficits deformity degenerative dehydrated dehydration delirium delivery deltoid dementia
    demyelinating density densities dependence depressed depression dermatitis dermatology dexamethasone dextrose
    diabetics dialysis diaphoresis diaphragm diaphragmatic diarrhea diarrhoea diastolic diazepam diclofenac differential
    digoxin dilatation dilation diltiazem disc dislocation displaced displacement dissection diuretic diuretics
    diverticular diverticulitis dorsal doxycycline drainage drowsy duct ductal duodenal duodenum duodenitis dyslipidemia
    dyspepsia dysphagia dysphasia dysplasia dyspnea dyspnoea dyspneic dysuria ecchymosis echo echocardiogram
    echocardiography ectopic ectopics eczema edema effusion ejection elbow electrolyte electrolytes embolism embolus
    emesis emphysema emphysematous empyema enalapril encephalitis encephalopathy endocarditis endometrial endoscopic
    endoscopy endotracheal enoxaparin enteral enteritis enzyme enzymes eosinophil eosinophils epidural epigastric epilepsy
    epileptic epistaxis erythema erythematous erythromycin esophageal esophagus estradiol etiology eventration
    exacerbation excision exertional expiration expiratory expired extremities extremity extubated extubation exudate
    fasciitis febrile fecal femoral femur ferritin fetal fetus fibrillation fibrosis fibrotic fibula fissure fistula flank
    flexion flexure fluconazole fluoxetine flutter folate follicular foramen forced fossa fracture fundus fungal
    furosemide gabapentin gallbladder gallstone gallstones ganglion gangrene gastric gastritis gastroenteritis
    gastrointestinal gastroscopy gentamicin gestation gland glands glaucoma glioma globulin glomerular glucose glyceryl
    goiter goitre gout gracile grade graft granuloma granulomas granulomatous groin gynaecology gynecology haematemesis
    haematology haematoma haematuria haemodialysis haemodynamically haemoglobin haemoptysis haemorrhage haemorrhagic
    haemorrhoids hallucinations hazy heartburn hematology hematoma hematuria hemiarthroplasty hemidiaphragm hemiparesis
    hemiplegia hemithorax hemodynamically hemoglobin hemoptysis hemorrhage hemorrhagic heparin hepatic hepatitis
    hepatobiliary hepatocellular hepatomegaly hernia herniation herpes hiatal hiatus hila hilar hilum histology hoarseness
    hormone humerus hyaline hydration hydralazine hydrocephalus hydrochlorothiazide hydrocortisone hydronephrosis
    hydropneumothorax hyperaldosteronism hypercalcaemia hypercholesterolaemia hypercholesterolemia hyperglycaemia
    hyperglycemia hyperinflated hyperinflation hyperkalaemia hyperkalemia hyperlipidaemia hyperlipidemia hyperplasia
    hypertension hypertensive hyperthyroidism hypertrophic hypertrophy hypoglycaemia hypoglycemia hypokalaemia hypokalemia
    hyponatraemia hyponatremia hypotension hypotensive hypothyroid hypothyroidism hypoxaemia hypoxemia hypoxia hypoxic
    hysterectomy ibuprofen ileal ileostomy ileum ileus iliac immunocompromised immunoglobulin immunosuppressed
    immunotherapy implant implants incontinence incontinent indwelling infarct infarction infarcts infective infiltrate
    infiltrates infiltration influenza infrahilar inguinal inhalation inhaler inhalers inotropes inspiration inspiratory
    insulin intensive intercostal interface interstitial interstitium interventional intervertebral intestinal intestine
    intima intracranial intraparenchymal intrathoracic intubated intubation iodine ipratropium iron ischaemia ischaemic
    ischemia ischemic isoniazid jaundice jaundiced jaw jejunum jugular juvenile ketoacidosis ketones kidney kidneys
    kyphosis labour laceration lactate lamotrigine lansoprazole laparoscopic laparoscopy laparotomy larynx laxative
    laxatives lesser lethargic lethargy leucocytes leukaemia leukemia leukocyte leukocytes leukocytosis levetiracetam
    levofloxacin levothyroxine ligament lingula lingular lipase lipid lisinopril lithium liver lobar lobe lobectomy lobes
    lobular lobule lobulated loculated loin loratadine lorazepam losartan lucency lucencies lucent lumbar lumen lupus
    lymph lymphadenopathy lymphatic lymphocyte lymphocytes lymphoma lymphopenia lytic macrocytic magnesium magnetic
    malaise malaria malignancy malignancies malignant malnutrition mammogram mammography marrow mastectomy mastitis
    mastoid measles meconium medial mediastinal mediastinum melaena melanoma melena membrane meningeal meningioma
    meningitis meniscus menopause meropenem mesenteric metabolic metastases metastasis metastatic metformin methotrexate
    methylprednisolone metoprolol metronidazole microbiology microscopy migraine minocycline mirtazapine mitral mobilise
    mobilised mobilising morphine mottling mucosa mucosal mucus multifocal multilobar multiorgan murmur murmurs muscular
    musculoskeletal myalgia myalgias mycoplasma myelitis myeloid myeloma myocardial myocarditis myopathy nasal nasogastric
    nasopharyngeal nausea nauseous nauseated necrosis necrotic necrotizing neonatal neonate neoplasm neoplastic
    nephrectomy nephritis nephrology nephropathy neuralgia neurology neuropathic neuropathy neurosurgery neutropenia
    neutropenic neutrophil neutrophilia neutrophils nicotine nifedipine nitrates nitrofurantoin nitroglycerin
    norepinephrine normocytic nodular obese obesity obstetric obstructed obstruction obstructive occipital occluded
    occlusion occult oculomotor oedema oesophageal oesophagus olanzapine oliguria omeprazole oncology opacification
    opacifications opacities opacity opiate opiates optic orbit orthopaedic orthopedic orthopnea orthopnoea osteoarthritis
    osteomyelitis osteopenia osteophyte osteophytes osteoporosis osteoporotic ovarian ovary oxycodone oxygen oxygenation
    pacemaker packed palliation palliative pallor palpitation palpitations palsy pancreas pancreatic pancreatitis
    pantoprazole paracetamol paraesthesia paralysis paraspinal paratracheal parenchyma parenchymal paresis paresthesia
    parietal paroxysmal patella pathogen pathology pathological patent pelvic pelvis penicillin peptic perforated
    perforation perfusion peribronchial pericardial pericarditis pericardium perihilar perineal peristalsis peritoneal
    peritoneum peritonitis peroneal petechiae pharyngeal pharyngitis phlegm phosphate phosphatase photophobia physio
    physiotherapy piperacillin pituitary placenta plaque plaques plasma platelet platelets pleura pleural pleuritic
    pleurisy pneumatocoeles pneumococcal pneumoconiosis pneumonectomy pneumomediastinum pneumonia pneumonias pneumonitis
    pneumoperitoneum pneumothorax polyp polyps popliteal portal postoperative postoperatively potassium prednisolone
    prednisone pregabalin preoperative proctitis prolapse prolapsed propranolol prostate prostatectomy prostatic
    prosthesis prosthetic proteinuria pruritus psoriasis psychiatric psychiatry psychosis pulmonary purulent
    pyelonephritis pylorus pyrexia quadrant quadriplegia radial radiculopathy radiograph radiographic radiographs
    radiography radiology radiotherapy radius rales ramipril ranitidine rectal rectum reflex reflexes reflux regurgitation
    remdesivir respiration respirations respiratory resuscitated resuscitation retention reticular reticulonodular retina
    retinal retinopathy retrocardiac retrosternal rheumatic rheumatoid rheumatology rhinitis rhinorrhea rhonchi rhythm rib
    ribs rifampicin rigors rituximab rivaroxaban rosuvastatin rotated rotation rupture ruptured sacral sacrum sagittal
    salbutamol saline sarcoid sarcoidosis sarcoma scapula sciatica sclerosis sclerotic scoliosis scrotal seizure seizures
    senna sepsis septal septic septum sequelae serology serous sertraline serum shingles shock shoulder shoulders
    silhouette simvastatin sinus sinuses sinusitis skeletal skull sodium somnolent spasm sphincter spinal spine
    spironolactone spleen splenectomy splenic splenomegaly spondylosis sputum squamous staging statin stasis steatosis
    stenosis stenotic stent stents sternal sternotomy sternum steroid steroids stoma stomach stones stool stools
    streptococcal streptococcus stroke subarachnoid subacute subclavian subcutaneous subdural subphrenic subpleural
    subsegmental suture sutures swallow syncope synovial syphilis systolic tachycardia tachycardic tachypnea tachypneic
    tachypnoea tachypnoeic tamoxifen tamsulosin tazobactam tendon tendonitis testicular testis tetanus thalamus thigh
    thoracentesis thoracic thoracolumbar thoracotomy thorax throat thrombectomy thrombocytopenia thrombocytosis
    thrombolysis thrombosed thrombosis thrombus thymoma thymus thyroid thyroidectomy tibia tibial tingling tinnitus
    tobramycin tomography tonsil tonsillectomy tonsillitis tonsils torsion tortuous toxic toxicity trachea tracheal
    tracheostomy tramadol transaminases transaminitis transfer transferred transfused transfusion transient transplant
    transplantation tremor tricuspid trigeminal trimethoprim troponin tuberculosis tuberculous tumor tumors tumour tumours
    turbinate ulcer ulceration ulcers ulnar ultrasonography ultrasound umbilical unconscious underinflated unfolded urea
    uremia ureter ureteric urethra urethral urinalysis urinary urine urologist urology urticaria uterine uterus vaccinated
    vaccination vaccine vagina vaginal vagus valproate valsartan valve valves valvular vancomycin varicella varices
    vascular vasculature vasculitis vasopressor vasopressors vein veins vena venous ventilated ventilation ventilator
    ventral ventricle ventricles ventricular verapamil vertebra vertebrae vertebral vertigo vesicular vessel vessels viral
    virus vitamin warfarin weaned whooping wrist xray xanthelasma zoster zopiclone glassy peribronchovascular
    parapneumonic bibasilar mediastinitis hemithoraces pancytopenia levels lymphangitic
"""

GERMAN = """
    abteilung akut aktuell alle allergie alter ambulant anamnese an am als auch auf aufgrund aufnahme aus ausgepragte
    aufenthalt bauch befund behandlung bei beide beidseits beidseitig beschwerden besserung beurteilung blut blutdruck
    bekannt bis brust da das dass datum dem den der des diagnose die diese dieser dosis durch ein eine einem einen einer
    entlassung entzundung epikrise er ergab ergebnis erguss es fieber fraglich fraktur frau fur geboren gut haut hat herr
    herz hinweis husten ich ihm ihr im in infarkt infiltrat ist jahr jahre jahriger jahrige kein keine keinen klinik
    klinisch kopf kontrolle kreislauf leber links lunge lungen mann medikamente medikation milz mit monat monate nach
    nachweis nicht niere nieren nur oder ohne operation patient patientin patienten pleura pleuraerguss pneumonie rechts
    rontgen schmerz schmerzen seit sehr sich sie sind stauung stationare stationaren tag tage therapie thorax tumor uber
    uhr um und unauffallig unter untersuchung unterschenkel verdacht verlauf verschattung vom von vor vorstellung war
    wegen wir wird woche wochen wurde wurden zeigt zum zur zustand zweimal
"""

FURTHER = """
    legionella pneumophila pneumocystis jiroveci jirovecii staphylococcus aureus escherichia coli pseudomonas aeruginosa
    klebsiella salmonella shigella candida albicans aspergillus fumigatus mycobacterium haemophilus influenzae moraxella
    enterococcus faecalis clostridium difficile clostridioides cryptococcus toxoplasma plasmodium helicobacter pylori
    listeria neisseria chlamydophila borrelia campylobacter serratia proteus acinetobacter adenovirus rhinovirus
    cytomegalovirus parvovirus norovirus rotavirus rhythm rhythms extrasystole extrasystoles extrasystolies couplet
    polymorphic monomorphic undefined bipolar unipolar pacing paced repolarization repolarisation hemiblock fascicular
    bundle branch block incomplete axis deviation overload hypertrophies conduction sinoatrial atrioventricular bigeminy
    trigeminy wandering idioventricular junctional septal apical biphasic inverted prolonged qrs reporting reported dated
    referred imaging scar formation lead leads premature escape degree vertical horizontal indeterminate ciliary
    odynophagia pyrexia rna dna pcr elisa immunofluorescence ppm panlobar metastasised adjuvant neoadjuvant palliative
    ibuprofen augmentin tylenol aspirin panadol ventolin lasix plavix lipitor xarelto eliquis nexium zofran tazocin
    rocephin keppra coumadin lovenox humalog lantus novorapid symbicort seretide spiriva toprol zocor crestor valium
    ativan xanax prozac zoloft moderna pfizer astrazeneca biontech siemens philips toshiba hologic fujifilm agfa
    carestream haptoglobin hba procalcitonin bnp dimer fibrinogen cyfra afp cea
"""

ABBREVIATIONS = """
    ab abd abg abx af aki alt ap ards ast bp bpm bun ca cabg cad cbc ccf chf ckd cm cns copd cpap cr crp csf ct cta cva
    cvc cvl cxr dka dm dvt ecg ed eeg ef egfr ekg ent er esr ett fbc fev fio gcs gerd gfr ggt ggo gi gp gtn gu hb hct hdl
    hdu hf hiv hpi hr hrct htn iabp icd icu ijv ijvc im inr iv ivc ivf jvp kub la lad ldl lft lll lul lv lvef mcv mi mm
    mmhg mra mri mrsa ms msk ng ngt nil nkda nsaid nsaids nsr nstemi og otc pa paco pao pcp pcr pe peep pet pft ph picc
    pmh po prn psa pt ptt pulm qd qid ra rbc rll rml rr rul rv rx sars sats sob sp spo stat stemi svc svt tb tft tid tia
    tsh tte uti us vf vq vt wbc wcc wnl xr yo ics cough hx dx tx sx fx pmhx psh ros nad heent perrla gbm mg ml mcg kg mmol
    umol iu dl
"""

SECTIONS = """
    addendum allergies assessment background chief complaint clinical comparison conclusion course diagnosis discharge
    examination exam findings history impression indication investigations labs laboratory medications medication
    observations operation pathology plan presentation procedure protocol reason recommendation report request results
    signature social summary technique vitals
"""

WORDS = frozenset(" ".join((ORDINARY, CLINICAL, FURTHER, GERMAN, ABBREVIATIONS, SECTIONS)).split())
"""In plain letters and lower case; of eponyms see there."""

ENDINGS = ("s", "es", "ed", "ing", "ly", "al", "ally", "ic", "itis", "ness", "er", "d")

CLINICAL_ENDINGS = (
    "itis",
    "osis",
    "emia",
    "aemia",
    "ectomy",
    "otomy",
    "ostomy",
    "oscopy",
    "opathy",
    "algia",
    "plasty",
    "graphy",
    "cillin",
    "mycin",
    "olol",
    "pril",
    "sartan",
    "statin",
    "azole",
    "prazole",
    "oxacin",
    "cycline",
    "mab",
    "nib",
    "vir",
    "opril",
    "dipine",
    "xaban",
    "tidine",
    "plegia",
    "paresis",
    "megaly",
    "uria",
    "pnoea",
    "pnea",
    "oma",
    "omas",
    "oid",
    "aneous",
    "ation",
    "ations",
    "ility",
    "ular",
    "ment",
    "ments",
    "thorax",
    "cardia",
)
"""How words of medicine end and names hardly do; "oma" and "mab" end some, so the rest must be five letters at least."""

LEAST_STEM = 5


def word_set(words: str) -> frozenset[str]:
    """Give the words of a text with space between them."""
    return frozenset(words.split())


def is_word(word: str) -> bool:
    """Tell whether a word, in plain letters, is one of a note and nobody's name as far as is known."""
    low = word.casefold()
    if low in WORDS:
        return True
    if any(low.endswith(end) and low[: -len(end)] in WORDS and len(low) - len(end) > 2 for end in ENDINGS):
        return True
    return any(low.endswith(end) and len(low) - len(end) >= LEAST_STEM for end in CLINICAL_ENDINGS)
