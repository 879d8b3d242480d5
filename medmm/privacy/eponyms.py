"""Names of diseases, signs, devices and tests that are names of people too, and stay where a note speaks of a disease.

They go where they are the patient's own name, and after a title: "Dr. Foley".

Source:
    Collected from the usual textbooks of medicine, radiology and surgery; Firkin BG, Whitworth JA, Dictionary of Medical
    Eponyms, 2nd edition, Parthenon 1996, is the reference for what each is.
"""

EPONYMS = frozenset(
    """
    achilles addison adson allen alport alzheimer apgar argyll arnold asperger babinski baker barlow barrett barthel bartholin
    basedow bassini batista becker beckwith beck beers behcet bell bence bennett berger bernard bielschowsky billroth biot bishop
    blalock bochdalek boerhaave borrmann bouchard bowen bowman braden brodie broca brown brugada brudzinski bruce budd buerger
    burkitt caroli castleman chagas charcot chari cheyne chiari chilaiditti child chopart chvostek cobb codman colles conn
    cooley cooper costen courvoisier couinaud cowden coxsackie creutzfeldt crigler crohn cullen curling cushing dandy darier
    defibrillator dercum dietl doppler down dressler duchenne duke dukes dupuytren duroziez ebstein edwards ehlers eisenmenger
    epley epstein erb ewing fabry fallot fanconi felty finkelstein fisher fitz flint foix foley fontan forrester fournier
    fowler fraser freiberg friedlander friedreich frohlich frolich frank galeazzi galen gartland gaucher gerota giemsa gilbert
    gilles glasgow gleason glisson goodpasture gottron gower graves grawitz gram grey griffith guillain guthrie gustilo hageman
    hamman hampton hansen harris hartmann hartnup hashimoto hawkins heberden hegar heimlich heinz henle henoch hering herring
    hesselbach hill hirschsprung hodgkin hodgkins hoffmann holter homans horner horton hounsfield howell howship huckman hughes
    hunter huntington hurler hutchinson hypotonic ictus imrie jacksonian jakob jarisch jarvik jefferson jeghers johnson jones
    kallmann kaposi karnofsky kartagener kasabach kawasaki kayser kerley kernig kienbock killip kimmelstiel kirschner klatskin
    klebsiella klinefelter klippel klumpke koch kocher kohler koplik korotkoff korsakoff krabbe krukenberg kugelberg kupffer
    kussmaul lachman ladd lambert langerhans langhans larrey larsen lasegue laurin legg leriche lesch levine lewy lhermitte
    libman lichtenberg liddle lisfranc little loeffler loffler looser louis ludwig luschka luer lyell lyme mackenzie maisonneuve
    mallory mantoux marburg marfan marjolin mayo mcburney mcmurray meckel meig meigs mendelson menetrier meniere merkel michaelis
    mikulicz millard miller mirizzi mobitz mondor monro montgomery morgagni moro morquio morton muller munchausen munro murphy
    myerson nelson neer neurath niemann nissen noonan norwood ogilvie ollier ormond ortolani osgood osler paget pancoast papanicolaou
    parinaud parkinson parvus pasteur paul peutz peyer peyronie phalen pick pickwick pierre plummer poland pompe potain poseidon
    pott potter prader pringle prinzmetal purkinje quervain quick quincke ramsay ramstedt rankin ranson raynaud recklinghausen
    reed reidel reinke reiter rendu rett reye richter riedel rinne ringer robin rokitansky romberg rorschach rosenthal ross roth
    rotter rous roux rovsing rutherford sachs salmonella salter scarpa schatzki scheuermann schilling schirmer schlatter schmorl
    schober schonlein schwann seldinger sertoli sever sezary shaver sheehan shirodkar shone shprintzen sims simmonds sjogren skene
    smith sprengel starling stein steinert sternberg stevens still stokes strumpell sturge sudeck swan swyer sydenham syme takayasu
    tanner tay tenckhoff terry thomas thomsen tietze tinel todd tourette trendelenburg treitz trousseau turcot turner valsalva vater
    venturi vincent virchow volkmann von waardenburg waldenstrom waldeyer wallenberg warthin waterhouse weber wegener weil wenckebach
    werdnig werner wernicke wertheim whipple whitmore wilms williams wilson willebrand winiwarter wiskott wolff wolfram wright yankauer
    zellweger zenker ziehl zollinger zwiefel
    ann addisonian aldrich barr barre bayes bravais brescia bright carnett chiba cimino clarke collins dix ellison frostberg gehrig
    ganz hallpike hickman hakim jacob jaeger kleihauer broviac lou malpighi mallampati mcgill macintosh magill minerva neuber
    pfannenstiel portacath queckenstedt quinckes ranvier ridley rideal sengstaken sachse blakemore schiotz seidel schwartz snellen strauss
    churg tamm horsfall tzanck uhthoff unna veress waaler rose wood wuchereria yersinia zahn weiss gunther goldblatt goldman goldmann
    mallinckrodt murray pugh meld ishak metavir child vaughan wells wagner white winter bosniak fleischner stanford debakey
    bristol lauren duke ann arbor clavien dindo ramsey richmond mirels garden pauwels schatzker danis lauge kellgren lawrence
    pfirrmann modic spetzler martin fazekas hunt hess fisher cierny mader torg salter harris
    """.split()
)
"""In plain letters and lower case, without the possessive."""
