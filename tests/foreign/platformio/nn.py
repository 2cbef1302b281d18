import nnrules

Import("env")

nnrules.generate(env)
cortex_m = "-mcpu=" in str(env.GetProjectOption("build_flags", ""))
model = env.NNModel("models/tiny", isa=["armv7em"] if cortex_m else [], selftest=True)
env.Append(CPPPATH=[model.include], PIOBUILDFILES=model)
