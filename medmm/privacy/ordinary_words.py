"""Common words of English and German notes, collected by hand; none was taken from a patient's record."""

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
