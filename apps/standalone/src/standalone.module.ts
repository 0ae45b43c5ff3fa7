import { type DynamicModule, Module } from '@nestjs/common';
import { AuthModule } from '../../auth/src/auth.module.js';
import type { AuthDependencies } from '../../auth/src/dependencies.js';
import type { ManagementDependencies } from '../../management/src/dependencies.js';
import { ManagementModule } from '../../management/src/management.module.js';
import type { ProjectorDependencies } from '../../projector/src/dependencies.js';
import { ProjectorModule } from '../../projector/src/projector.module.js';

export interface StandaloneDependencies {
  readonly management: ManagementDependencies;
  readonly auth: AuthDependencies;
  readonly projector: ProjectorDependencies;
}

/** Runs management, authentication and projector in one process. */
@Module({})
export class StandaloneModule {
  static with({ management, auth, projector }: StandaloneDependencies): DynamicModule {
    return {
      module: StandaloneModule,
      imports: [ManagementModule.with(management), AuthModule.with(auth), ProjectorModule.with(projector)],
    };
  }
}
