"""Words of medicine: anatomy, findings, drugs, germs, makers, abbreviations, and the headings of notes; collected by hand."""

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
